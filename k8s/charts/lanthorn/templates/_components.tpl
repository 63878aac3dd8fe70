{{/*
The services, written down once: which section of the values they have, which module they run, and
what they need. Environment, secrets and network policies follow from `needs`, so that a service
gets exactly what it talks to.
*/}}
{{- define "lanthorn.components" -}}
dimse-gateway:
  section: dimseGateway
  module: lanthorn_dimse_gateway
  needs: [database, nats, objects, renderer]
  ports: { dicom: 4242, health: 8043 }
indexer:
  section: indexer
  module: lanthorn_indexer
  needs: [database, nats, objects]
  ports: { health: 8043 }
rest-api:
  section: restApi
  module: lanthorn_rest_api
  needs: [database, nats, objects, renderer, first-user]
  ports: { http: 8042, health: 8043 }
renderer:
  section: renderer
  module: lanthorn_renderer
  needs: [objects]
  # Its frames and its health have one port: only our services reach it.
  ports: { health: 8043 }
{{- end }}

{{/*
Where the engines are and which Secret opens them: the only place that tells bundled from existing.
`bundled` is the component whose pods are ours, for the network policies.
*/}}
{{- define "lanthorn.engines" -}}
{{- $fullname := include "lanthorn.fullname" . -}}
{{- $postgresql := .Values.postgresql }}
database:
  {{- if eq $postgresql.mode "existing" }}
  url: {{ required "postgresql.existing.url is needed" $postgresql.existing.url | quote }}
  password: {{ toYaml $postgresql.existing.passwordSecret | nindent 4 }}
  {{- else if eq $postgresql.mode "cloudnative-pg" }}
  url: postgresql://{{ $postgresql.user }}@{{ $fullname }}-postgresql-rw:5432/{{ $postgresql.database }}
  # The operator makes this Secret.
  password: { name: {{ $fullname }}-postgresql-app, key: password }
  {{- else }}
  url: postgresql://{{ $postgresql.user }}@{{ $fullname }}-postgresql:5432/{{ $postgresql.database }}
  password: { name: {{ $fullname }}-postgresql, key: password }
  bundled: postgresql
  port: 5432
  {{- end }}
nats:
  {{- if eq .Values.nats.mode "existing" }}
  {{- with .Values.nats.existing }}
  url: {{ required "nats.existing.url is needed" .url | quote }}
  user: {{ .user | quote }}
  password: {{ toYaml .passwordSecret | nindent 4 }}
  {{- end }}
  {{- else }}
  url: nats://{{ $fullname }}-nats:4222
  user: lanthorn
  password: { name: {{ $fullname }}-nats, key: password }
  bundled: nats
  port: 4222
  {{- end }}
objects:
  {{- if eq .Values.objectStore.mode "existing" }}
  {{- with .Values.objectStore.existing }}
  endpoint: {{ required "objectStore.existing.endpoint is needed" .endpoint | quote }}
  accessKey: { name: {{ .credentialsSecret.name | quote }}, key: {{ .credentialsSecret.accessKey }} }
  secretKey: { name: {{ .credentialsSecret.name | quote }}, key: {{ .credentialsSecret.secretKey }} }
  certificateAuthority: {{ toYaml .caSecret | nindent 4 }}
  {{- end }}
  {{- else }}
  endpoint: http://{{ $fullname }}-minio:9000
  accessKey: { name: {{ $fullname }}-minio, key: access-key }
  secretKey: { name: {{ $fullname }}-minio, key: secret-key }
  bundled: minio
  port: 9000
  {{- end }}
renderer:
  url: http://{{ $fullname }}-renderer:8043
  bundled: renderer
  port: 8043
first-user:
  password: { name: {{ include "lanthorn.firstUserSecret" . }}, key: {{ .Values.firstUser.passwordKey }} }
{{- end }}

{{- define "lanthorn.firstUserSecret" -}}
{{ .Values.firstUser.existingSecret | default (printf "%s-first-user" (include "lanthorn.fullname" .)) }}
{{- end }}

{{/*
Environment of a container by what it needs. Secrets come as files: an environment is inherited,
dumped and shown by too many. Takes (dict "root" $ "needs" LIST).
*/}}
{{- define "lanthorn.environment" -}}
{{- $engines := include "lanthorn.engines" .root | fromYaml -}}
{{- $secrets := "/run/secrets/lanthorn" -}}
{{- if has "database" .needs }}
- { name: DATABASE_URL, value: {{ $engines.database.url | quote }} }
{{- if $engines.database.password.name }}
- { name: DATABASE_PASSWORD_FILE, value: {{ $secrets }}/database-password }
{{- end }}
{{- end }}
{{- if has "nats" .needs }}
- { name: NATS_URL, value: {{ $engines.nats.url | quote }} }
- { name: NATS_STREAM_REPLICAS, value: {{ include "lanthorn.streamReplicas" .root | quote }} }
{{- if $engines.nats.password.name }}
- { name: NATS_USER, value: {{ $engines.nats.user | quote }} }
- { name: NATS_PASSWORD_FILE, value: {{ $secrets }}/nats-password }
{{- end }}
{{- end }}
{{- if has "objects" .needs }}
- { name: S3_ENDPOINT, value: {{ $engines.objects.endpoint | quote }} }
- { name: S3_BUCKET, value: {{ .root.Values.objectStore.bucket | quote }} }
- { name: S3_REGION, value: {{ .root.Values.objectStore.region | quote }} }
- { name: S3_ACCESS_KEY_FILE, value: {{ $secrets }}/s3-access-key }
- { name: S3_SECRET_KEY_FILE, value: {{ $secrets }}/s3-secret-key }
{{- if ($engines.objects.certificateAuthority).name }}
- { name: S3_CA_FILE, value: {{ $secrets }}/s3-ca.crt }
{{- end }}
{{- end }}
{{- if has "renderer" .needs }}
- { name: RENDERER_URL, value: {{ $engines.renderer.url | quote }} }
{{- end }}
{{- if has "first-user" .needs }}
- { name: LANTHORN_FIRST_PASSWORD_FILE, value: {{ $secrets }}/first-password }
{{- end }}
{{- end }}

{{/* Sources of the projected volume at /run/secrets/lanthorn, by the same needs. */}}
{{- define "lanthorn.secretSources" -}}
{{- $engines := include "lanthorn.engines" .root | fromYaml -}}
{{- $objects := $engines.objects -}}
{{- $files := dict "database" (dict "database-password" $engines.database.password)
  "nats" (dict "nats-password" $engines.nats.password)
  "objects" (dict "s3-access-key" $objects.accessKey "s3-secret-key" $objects.secretKey "s3-ca.crt" $objects.certificateAuthority)
  "first-user" (dict "first-password" (index $engines "first-user").password) -}}
{{- range $need := .needs }}
{{- range $file, $secret := get $files $need | default dict }}
{{- if ($secret).name }}
- secret: { name: {{ $secret.name }}, items: [{ key: {{ $secret.key }}, path: {{ $file }} }] }
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* A bundled NATS of one server cannot keep three copies. */}}
{{- define "lanthorn.streamReplicas" -}}
{{- $nats := .Values.nats -}}
{{ ternary $nats.streamReplicas (min $nats.streamReplicas $nats.bundled.replicas) (eq $nats.mode "existing") }}
{{- end }}

{{/* Orthanc's options for DICOM over TLS. Takes the values `dimseGateway.tls`. */}}
{{- define "lanthorn.tlsOptions" -}}
- { name: LANTHORN__DICOM_TLS_ENABLED, value: "true" }
- { name: LANTHORN__DICOM_TLS_CERTIFICATE, value: /etc/lanthorn/tls/tls.crt }
- { name: LANTHORN__DICOM_TLS_PRIVATE_KEY, value: /etc/lanthorn/tls/tls.key }
- { name: LANTHORN__DICOM_TLS_REMOTE_CERTIFICATE_REQUIRED, value: {{ .requirePeerCertificate | quote }} }
{{- if .requirePeerCertificate }}
- { name: LANTHORN__DICOM_TLS_TRUSTED_CERTIFICATES, value: /etc/lanthorn/tls/ca.crt }
{{- end }}
{{- end }}
