{{/* Names, labels and images: what every resource says of itself. */}}

{{- define "lanthorn.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Begins the name of everything; at most 40 characters, so that what follows it fits as well. */}}
{{- define "lanthorn.fullname" -}}
{{- $name := include "lanthorn.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{ .Values.fullnameOverride | default $full | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* What selects pods; it must never change. Takes (dict "root" $ "component" NAME). */}}
{{- define "lanthorn.selector" -}}
app.kubernetes.io/name: {{ include "lanthorn.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "lanthorn.labels" -}}
{{ include "lanthorn.selector" . }}
app.kubernetes.io/part-of: lanthorn
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* `metadata` of a component's resource: its name and labels. */}}
{{- define "lanthorn.metadata" -}}
name: {{ include "lanthorn.fullname" .root }}-{{ .component }}
labels:
  {{- include "lanthorn.labels" . | nindent 2 }}
{{- end }}

{{/* The image of a service of ours. Takes (dict "root" $ "image" NAME). */}}
{{- define "lanthorn.image" -}}
{{- $image := .root.Values.image -}}
{{ with $image.registry }}{{ . | trimSuffix "/" }}/{{ end -}}
{{ $image.repository }}/{{ .image }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end }}
