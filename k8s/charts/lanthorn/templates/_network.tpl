{{/* Pieces of the network policies. */}}

{{/* Peer: the pods of a component. Takes (dict "root" "component"). */}}
{{- define "lanthorn.peer" -}}
{ podSelector: { matchLabels: {{ include "lanthorn.selector" . | fromYaml | toJson }} } }
{{- end }}

{{/* Peers: the pods of all components that need something. Takes (dict "root" "need"). */}}
{{- define "lanthorn.clientsOf" -}}
{{- $clients := list -}}
{{- range $component, $service := include "lanthorn.components" .root | fromYaml -}}
  {{- if has $.need $service.needs }}{{ $clients = append $clients $component }}{{ end -}}
{{- end -}}
{{- if eq .need "database" }}{{ $clients = append $clients "migration" }}{{ end -}}
{{- range $clients }}
- {{ include "lanthorn.peer" (dict "root" $.root "component" .) }}
{{- end }}
{{- end }}

{{/*
Egress to the remote AEs of the configuration, which is a list [AET, host, port, ...] or an object
each. A policy knows addresses only: for names, and for what is added over the REST API, there is
`networkPolicy.remoteTo`.
*/}}
{{- define "lanthorn.remoteEgress" -}}
{{- range $remote := .Values.configuration.DicomModalities -}}
  {{- $host := "" -}}
  {{- $port := 0 -}}
  {{- if kindIs "slice" $remote -}}
    {{- $host = index $remote 1 -}}
    {{- $port = index $remote 2 -}}
  {{- else -}}
    {{- $host = $remote.Host -}}
    {{- $port = $remote.Port -}}
  {{- end }}
  {{- if regexMatch "^[0-9.]+$" $host }}
- to: [{ ipBlock: { cidr: {{ $host }}/32 } }]
  ports: [{ port: {{ int $port }} }]
  {{- else if contains ":" $host }}
- to: [{ ipBlock: { cidr: "{{ $host }}/128" } }]
  ports: [{ port: {{ int $port }} }]
  {{- end }}
{{- end }}
{{- with .Values.networkPolicy.remoteTo }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Ingress rules of a component of ours; none for what nobody calls. Takes (dict "root" "component"). */}}
{{- define "lanthorn.ingressOf" -}}
{{- $policy := .root.Values.networkPolicy -}}
{{- $test := include "lanthorn.peer" (dict "root" .root "component" "test") -}}
{{- if and $policy.metricsFrom (hasKey (include "lanthorn.components" .root | fromYaml) .component) }}
- from: {{- toYaml $policy.metricsFrom | nindent 4 }}
  ports: [{ port: health }]
{{- end }}
{{- if eq .component "renderer" }}
- from: {{- include "lanthorn.clientsOf" (dict "root" .root "need" "renderer") | nindent 4 }}
  ports: [{ port: health }]
{{- end }}
{{- range $component, $public := dict "dimse-gateway" (dict "port" "dicom" "from" $policy.dicomFrom) "rest-api" (dict "port" "http" "from" $policy.httpFrom) }}
{{- if eq $component $.component }}
- ports: [{ port: {{ $public.port }} }]
  {{- with $public.from }}
  from:
    {{- toYaml . | nindent 4 }}
    - {{ $test }}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}
