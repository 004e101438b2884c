{{/* The pods of a fleet: what the head and every pool share. */}}

{{/* The variables by which fleet processes find everything: (list . host providers env) */}}
{{- define "packline.fleetEnv" -}}
{{- $root := index . 0 -}}
{{- $host := index . 1 -}}
- { name: HOME, value: /tmp }
- { name: PACKLINE_HOME, value: /var/lib/packline }
- { name: PACKLINE_CACHE, value: /var/cache/packline }
- { name: PACKLINE_ADDRESS, value: "{{ $host }}:9000" }
- { name: PACKLINE_SERVE_API, value: "http://{{ $host }}:8265" }
- { name: PACKLINE_PROVIDERS, value: {{ index . 2 | quote }} }
# Threads of a session: the container's CPUs, not the node's.
- { name: PACKLINE_THREADS, valueFrom: { resourceFieldRef: { resource: limits.cpu, divisor: "1" } } }
- name: PACKLINE_STORE
  value: {{ $root.Values.storage.kind | eq "url" | ternary $root.Values.storage.url "file:///var/lib/packline/store" | quote }}
{{- include "packline.databaseEnv" $root }}
{{- range concat $root.Values.fleet.env (index . 3 | default list) }}
- {{ toJson . }}
{{- end }}
{{- end -}}

{{- define "packline.databaseEnv" -}}
{{- if eq .Values.database.kind "url" }}
{{- with .Values.database.secret }}
{{- range $variable, $key := dict "PACKLINE_TRAINING_DATABASE" .trainingKey "PACKLINE_MONITORING_DATABASE" .monitoringKey "PACKLINE_MLFLOW_DATABASE" .mlflowKey }}
- { name: {{ $variable }}, valueFrom: { secretKeyRef: { name: {{ $.Values.database.secret.name }}, key: {{ $key }} } } }
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "packline.storageEnv" -}}
{{- with .Values.storage.secretName }}
envFrom:
  - secretRef: { name: {{ . }} }
{{- end }}
{{- end -}}

{{/* KubeRay's own readiness of a worker runs wget, which is not in the image; this asks the same of Serve's proxy. */}}
{{- define "packline.workerProbe" -}}
readinessProbe:
  httpGet: { path: /-/healthz, port: 8000 }
  initialDelaySeconds: 10
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 1
{{- end -}}

{{- define "packline.fleetMounts" -}}
- { name: tmp, mountPath: /tmp }
- { name: home, mountPath: /var/lib/packline }
- { name: cache, mountPath: /var/cache/packline }
{{- end -}}

{{/* (list . home) where home is the volume's source. */}}
{{- define "packline.fleetVolumes" -}}
{{- $cache := (index . 0).Values.cache -}}
- name: tmp
  emptyDir: {}
- name: home
  {{- toYaml (index . 1) | nindent 2 }}
- name: cache
  {{- if eq $cache.kind "hostPath" }}
  hostPath: { path: {{ $cache.hostPath }}, type: DirectoryOrCreate }
  {{- else }}
  emptyDir: { sizeLimit: {{ $cache.size }} }
  {{- end }}
{{- end -}}

{{/* Ray's custom resources of a node that offers pools, quoted for the shell in which KubeRay starts Ray. */}}
{{- define "packline.poolResources" -}}
{{- $resources := dict -}}
{{- range . }}{{- $_ := set $resources (printf "pool_%s" .) 1 }}{{- end -}}
{{- printf "'%s'" (toJson $resources) -}}
{{- end -}}

{{/* What a schema cannot compare. */}}
{{- define "packline.checkPools" -}}
{{- $names := .Values.fleet.head.pools -}}
{{- range .Values.fleet.pools -}}
{{- if gt (int .replicas.min) (int .replicas.max) -}}
{{- fail (printf "fleet.pools: %s has replicas.min above replicas.max" .name) -}}
{{- end -}}
{{- if has .name $names -}}
{{- fail (printf "fleet.pools: %s is the name of two pools; each node offers its own" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- if not $names -}}
{{- fail "fleet.head.pools and fleet.pools are both empty: no Pack could run anywhere" -}}
{{- end -}}
{{- end -}}
