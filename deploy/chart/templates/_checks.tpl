{{/* What the schema cannot say in words that help. config.yaml begins with it. */}}
{{- define "datasource.checkedValues" -}}
{{- $values := .Values -}}
{{- $ours := concat (keys (fromYaml (include "datasource.selector" "any"))) (list "app.kubernetes.io/part-of" "app.kubernetes.io/instance" "app.kubernetes.io/managed-by" "app.kubernetes.io/version" "helm.sh/chart") -}}
{{- range $name, $labels := dict "commonLabels" .Values.commonLabels "operator.podLabels" .Values.operator.podLabels "callbackServer.podLabels" .Values.callbackServer.podLabels -}}
{{- range $ours -}}
{{- if hasKey $labels . -}}
{{- fail (printf "%s must not have %s: the chart sets it itself" $name .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $annotations := dict "commonAnnotations" .Values.commonAnnotations "operator.podAnnotations" .Values.operator.podAnnotations "callbackServer.podAnnotations" .Values.callbackServer.podAnnotations -}}
{{- if hasKey $annotations "checksum/config" -}}
{{- fail (printf "%s must not have checksum/config: the chart sets it itself" $name) -}}
{{- end -}}
{{- end -}}
{{- range $name := list "operator" "callbackServer" -}}
{{- $process := get $values $name -}}
{{- $replicas := int $process.replicas -}}
{{- $budget := $process.podDisruptionBudget -}}
{{- $stay := int (toString $budget.minAvailable | trimSuffix "%") -}}
{{- if hasSuffix "%" (toString $budget.minAvailable) -}}
{{- /* As Kubernetes reads it: rounded up. */ -}}
{{- $stay = div (add (mul $stay $replicas) 99) 100 -}}
{{- end -}}
{{- if and $budget.enabled (gt $replicas 1) (ge (int $stay) $replicas) -}}
{{- fail (printf "%s.podDisruptionBudget.minAvailable is %v of %d replicas, which would keep every node with such a pod from being drained: use a smaller one" $name $budget.minAvailable $replicas) -}}
{{- end -}}
{{- end -}}
{{- with .Values.signIn -}}
{{- if .issuer -}}
{{- range $name := list "usernamePrefix" "groupsPrefix" -}}
{{- if hasPrefix "system:" (get $values.signIn $name) -}}
{{- fail (printf "signIn.%s must not begin with system: such names are the cluster's own, and no person has one" $name) -}}
{{- end -}}
{{- end -}}
{{- if and .scopes (not (has "openid" .scopes)) -}}
{{- fail "signIn.scopes must have openid among the scopes: without it the issuer does not say who signs in" -}}
{{- end -}}
{{- if has "offline_access" .scopes -}}
{{- fail "signIn.scopes must not have offline_access: no token of a sign-in is kept" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What is refused here, the processes refuse, too (datasource/process/external_url.py); the schema knows the characters. */}}
{{- define "datasource.checkedExternalURL" -}}
{{- $url := regexReplaceAll "/+$" (required "externalURL is required: the public URL of the callback server, such as https://connect.example.com" .Values.externalURL) "" -}}
{{- $parts := regexSplit "/" $url 4 -}}
{{- $port := regexFind ":[0-9]*$" (index $parts 2) | trimPrefix ":" -}}
{{- $host := index $parts 2 | lower | trimSuffix (regexFind ":[0-9]*$" (index $parts 2)) -}}
{{- if or (hasPrefix "0" $port) (gt (len $port) 5) (gt (int $port) 65535) (ne (include "datasource.isHost" $host) "true") -}}
{{- fail (printf "externalURL must be the public URL of the callback server, such as https://connect.example.com; it is %s" $url) -}}
{{- end -}}
{{- if regexMatch "/[.]{1,2}(/|$)" (printf "/%s" (join "/" (slice $parts 3))) -}}
{{- fail (printf "externalURL must have no . or .. between slashes: choose another path; it is %s" $url) -}}
{{- end -}}
{{- if not (or (hasPrefix "https:" (lower $url)) (has $host (list "localhost" "127.0.0.1" "[::1]"))) -}}
{{- fail (printf "externalURL must be https:// (http:// is for loopback only); it is %s" $url) -}}
{{- end -}}
{{- $url -}}
{{- end -}}

{{/* "true" for a host in lower case that browsers read as it is written. */}}
{{- define "datasource.isHost" -}}
{{- $octet := "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])" -}}
{{- $ipv4 := printf "(%s[.]){3}%s" $octet $octet -}}
{{- $label := "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?" -}}
{{- if hasPrefix "[" . -}}
{{- /* An IPv4 address at the end stands for two groups. */ -}}
{{- $groups := regexReplaceAll (printf ":%s$" $ipv4) (. | trimPrefix "[" | trimSuffix "]") ":0:0" -}}
{{- $some := "[0-9a-f]{1,4}(:[0-9a-f]{1,4})*" -}}
{{- $gap := regexMatch (printf "^(%s)?::(%s)?$" $some $some) $groups -}}
{{- $count := regexFindAll "[0-9a-f]+" $groups -1 | len -}}
{{- or (and $gap (le $count 7)) (and (regexMatch (printf "^%s$" $some) $groups) (eq $count 8)) -}}
{{- else if regexMatch "(^|[.])([0-9]+|0x[0-9a-f]*)[.]?$" . -}}
{{- regexMatch (printf "^%s$" $ipv4) . -}}
{{- else -}}
{{- and (le (len .) 253) (regexMatch (printf "^(%s[.])*%s[.]?$" $label $label) .) -}}
{{- end -}}
{{- end -}}

{{/* The host of externalURL as an Ingress and an HTTPRoute take it, and the paths below it that browsers need, as a list in JSON. */}}
{{- define "datasource.externalHost" -}}
{{- $host := (urlParse (include "datasource.checkedExternalURL" .)).hostname | lower | trimSuffix "." -}}
{{- if or (contains ":" $host) (contains "_" $host) (regexMatch "[.][0-9]+$" $host) -}}
{{- fail (printf "ingress.enabled and httpRoute.enabled need a DNS name in externalURL, such as https://connect.example.com: %s is none" $host) -}}
{{- end -}}
{{- $host -}}
{{- end -}}

{{- define "datasource.externalPaths" -}}
{{- $prefix := (urlParse (include "datasource.checkedExternalURL" .)).path -}}
{{- if .Values.signIn.issuer -}}
{{- /* The first page is at the root, and pages of other names come below it. */ -}}
{{- list (printf "%s/" $prefix) | toJson -}}
{{- else -}}
{{- list (printf "%s/authorize" $prefix) (printf "%s/callback" $prefix) (printf "%s/done" $prefix) | toJson -}}
{{- end -}}
{{- end -}}
