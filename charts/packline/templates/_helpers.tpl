{{/* Names, labels and images. */}}

{{- define "packline.fullname" -}}
{{- $name := .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- $name -}}
{{- end -}}

{{/* Name of the RayService. KubeRay makes NAME-head-svc and NAME-serve-svc of it. */}}
{{- define "packline.fleet" -}}
{{- .Values.fleet.name | default (include "packline.fullname" .) -}}
{{- end -}}

{{- define "packline.labels" -}}
app.kubernetes.io/name: packline
app.kubernetes.io/part-of: packline
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{/*
What never changes, for selectors: (list . "component"). Not app.kubernetes.io/name: by KubeRay's own value of it, which a
pod's template may override, the Service NAME-head-svc finds the head.
*/}}
{{- define "packline.selector" -}}
app.kubernetes.io/part-of: packline
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* image and imagePullPolicy: (list . "serve") */}}
{{- define "packline.image" -}}
{{- $image := index (index . 0).Values.images (index . 1) -}}
image: {{ printf "%s:%s" $image.repository ($image.tag | default (index . 0).Chart.AppVersion) | quote }}
imagePullPolicy: {{ $image.pullPolicy }}
{{- end -}}

{{- define "packline.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* One name in all namespaces, since one operator may see the fleets of several. */}}
{{- define "packline.authSecret" -}}
{{- .Values.fleet.authSecret | default "packline-ray-token" -}}
{{- end -}}

{{- define "packline.claim" -}}
{{- .Values.persistence.existingClaim | default (printf "%s-home" (include "packline.fleet" .)) -}}
{{- end -}}

{{/* Namespaces whose Packs the operator sees, as a JSON list; ["*"] for all. */}}
{{- define "packline.namespaces" -}}
{{- .Values.operator.namespaces | default (list .Release.Namespace) | uniq | sortAlpha | toJson -}}
{{- end -}}

{{/* Where a pod is placed: its values. */}}
{{- define "packline.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The restricted level of Pod Security. */}}
{{- define "packline.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "packline.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: { drop: [ALL] }
runAsNonRoot: true
readOnlyRootFilesystem: {{ .Values.security.readOnlyRootFilesystem }}
{{- end -}}
