{{/* Arguments are lists: the root context, then the component ("gateway", "command-service", …). */}}

{{- define "sovd.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "sovd.name" -}}
{{- printf "%s-%s" (include "sovd.fullname" (first .)) (last .) -}}
{{- end -}}

{{- define "sovd.selector" -}}
app.kubernetes.io/name: {{ (first .).Chart.Name }}
app.kubernetes.io/instance: {{ (first .).Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end -}}

{{- define "sovd.labels" -}}
{{ include "sovd.selector" . }}
app.kubernetes.io/version: {{ (first .).Chart.AppVersion | quote }}
app.kubernetes.io/part-of: sovd-webapp
app.kubernetes.io/managed-by: {{ (first .).Release.Service }}
helm.sh/chart: {{ (first .).Chart.Name }}-{{ (first .).Chart.Version }}
{{- end -}}

{{/* The components with pods of their own code, as {"components": [{"name": …, "key": …}]}. */}}
{{- define "sovd.components" -}}
components:
  - { name: gateway, key: gateway }
  - { name: command-service, key: commandService }
  {{- if .Values.vehicleConnector.enabled }}
  - { name: vehicle-connector, key: vehicleConnector }
  {{- end }}
  - { name: web, key: web }
{{- end -}}

{{/* [root, {repository, tag}] */}}
{{- define "sovd.image" -}}
{{- $root := first . -}}{{- $image := last . -}}
{{- with $root.Values.image.registry }}{{ . }}/{{ end -}}
{{ $image.repository }}:{{ $image.tag | default $root.Values.image.tag | default $root.Chart.AppVersion }}
{{- end -}}

{{- define "sovd.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "sovd.securityContext" -}}
allowPrivilegeEscalation: false
capabilities: { drop: [ALL] }
readOnlyRootFilesystem: {{ .Values.podSecurity.readOnlyRootFilesystem }}
{{- end -}}

{{- define "sovd.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* [root, variable, key] of the services' Secret; a fourth element makes it optional. */}}
{{- define "sovd.fromSecret" -}}
- name: {{ index . 1 }}
  valueFrom:
    secretKeyRef:
      name: {{ (first .).Values.secrets.name }}
      key: {{ index . 2 }}
      {{- if gt (len .) 3 }}
      optional: true
      {{- end }}
{{- end -}}

{{- define "sovd.commandServiceAddress" -}}
{{ include "sovd.name" (list . "command-service") }}.{{ .Release.Namespace }}.svc:50051
{{- end -}}

{{/* Where a store is: in this release, or where the values say. [root, "postgresql" | "redis" | "rabbitmq"] */}}
{{- define "sovd.storeHost" -}}
{{- $root := first . -}}{{- $store := last . -}}
{{- if (index $root.Values.local $store).enabled -}}
{{ include "sovd.name" (list $root $store) }}
{{- else -}}
{{ (index $root.Values.config (eq $store "postgresql" | ternary "database" $store)).host }}
{{- end -}}
{{- end -}}

{{/* URLs as the services take them: [root, password], which may be an expression for the External Secrets Operator. */}}
{{- define "sovd.databaseUrl" -}}
{{- $root := first . -}}{{- $it := $root.Values.config.database -}}
postgresql://{{ $it.user }}:{{ last . }}@{{ include "sovd.storeHost" (list $root "postgresql") }}:{{ $it.port }}/{{ $it.name }}?sslmode={{ $it.sslmode }}
{{- end -}}

{{- define "sovd.redisUrl" -}}
{{- $root := first . -}}{{- $it := $root.Values.config.redis -}}
{{ $it.tls | ternary "rediss" "redis" }}://{{ with last . }}:{{ . }}@{{ end }}{{ include "sovd.storeHost" (list $root "redis") }}:{{ $it.port }}/0
{{- end -}}

{{/* [root, password, "amqp" | "http"] */}}
{{- define "sovd.rabbitmqUrl" -}}
{{- $root := first . -}}{{- $it := $root.Values.config.rabbitmq -}}
{{- $port := eq (last .) "amqp" | ternary $it.port $it.managementPort -}}
{{ last . }}{{ $it.tls | ternary "s" "" }}://{{ $it.user }}:{{ index . 1 }}@{{ include "sovd.storeHost" (list $root "rabbitmq") }}:{{ $port }}/{{ $it.vhost | urlquery }}
{{- end -}}

{{/* What the services' Secret has when it is made of the values. */}}
{{- define "sovd.secretValues" -}}
{{- $values := .Values.secrets.values -}}
{{- with .Values.local -}}
{{- if .postgresql.enabled }}{{- $values = merge (dict "database-url" (include "sovd.databaseUrl" (list $ .postgresql.password))) $values }}{{- end }}
{{- if .redis.enabled }}{{- $values = merge (dict "redis-url" (include "sovd.redisUrl" (list $ ""))) $values }}{{- end }}
{{- if .rabbitmq.enabled }}{{- $values = merge (dict "rabbitmq-url" (include "sovd.rabbitmqUrl" (list $ .rabbitmq.password "amqp")) "rabbitmq-management-url" (include "sovd.rabbitmqUrl" (list $ .rabbitmq.password "http"))) $values }}{{- end }}
{{- end -}}
{{- toYaml $values -}}
{{- end -}}

{{- define "sovd.checksums" -}}
checksum/config: {{ include (print $.Template.BasePath "/config.yaml") . | sha256sum }}
{{- if .Values.secrets.create }}
checksum/secret: {{ include "sovd.secretValues" . | sha256sum }}
{{- end }}
{{- end -}}
