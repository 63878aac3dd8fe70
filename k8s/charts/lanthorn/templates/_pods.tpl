{{/* What all pods have in common. */}}

{{/* Top of every pod's spec: the restricted pod security standard. Takes (dict "root" "component" "uid"). */}}
{{- define "lanthorn.podSecurity" -}}
serviceAccountName: {{ include "lanthorn.fullname" .root }}-{{ .component }}
# Nothing here talks to the Kubernetes API.
automountServiceAccountToken: false
# Variables that Kubernetes makes of Services could be mistaken for ours.
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .uid }}
  runAsGroup: {{ .uid }}
  fsGroup: {{ .uid }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "lanthorn.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* Keeps replicas on different nodes and in different zones. Takes (dict "root" "component"). */}}
{{- define "lanthorn.spread" -}}
{{- $selector := include "lanthorn.selector" . | fromYaml -}}
{{- with .root.Values.spread }}
{{- if ne .nodes "off" }}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" $selector) }}
affinity:
  podAntiAffinity:
    {{- if eq .nodes "required" }}
    requiredDuringSchedulingIgnoredDuringExecution:
      - {{- toYaml $term | nindent 8 }}
    {{- else }}
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm: {{- toYaml $term | nindent 10 }}
    {{- end }}
{{- end }}
{{- if ne .zones "off" }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: {{ ternary "DoNotSchedule" "ScheduleAnyway" (eq .zones "required") }}
    labelSelector: { matchLabels: {{ toJson $selector }} }
{{- end }}
{{- end }}
{{- end }}

{{/* Where the pod may run. Takes a service's section of the values. */}}
{{- define "lanthorn.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The user that our images run as (deploy/docker). */}}
{{- define "lanthorn.uid" -}}
10001
{{- end }}

{{/*
A volume claim of a bundled engine, named `data`. Takes its `storage` values. An empty class is
the cluster's default one.
*/}}
{{- define "lanthorn.dataClaim" -}}
- metadata: { name: data }
  spec:
    accessModes: [ReadWriteOnce]
    {{- with .className }}
    storageClassName: {{ . }}
    {{- end }}
    resources: { requests: { storage: {{ .size }} } }
{{- end }}

{{/*
A password that is made once: what the Secret holds already, else a new one; base64. Takes
(dict "root" "secret" "key"). Without a cluster to look in (`helm template`) it is always new, so
who renders for GitOps names Secrets of his own.
*/}}
{{- define "lanthorn.madeOnce" -}}
{{- $kept := (lookup "v1" "Secret" .root.Release.Namespace .secret).data | default dict -}}
{{ get $kept .key | default (randAlphaNum 32 | b64enc) }}
{{- end }}
