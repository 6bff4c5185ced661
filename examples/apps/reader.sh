#!/bin/sh
# Calls an API with the mounted token, and survives what happens to apps: a 401, an outage, a token that is not there yet.
# The file is read for each request: kubelet replaces its content while the app runs.
set -u
token_file=${TOKEN_FILE:-/credential/access_token}
url=${API_URL:-https://api.example.com/calendar/v3/events}
interval=${INTERVAL:-60}

call() {
  # Through standard input, so that the token is in no process list. --fail: the text of an error is no data.
  printf 'header = "Authorization: Bearer %s"\n' "$1" |
    curl --silent --show-error --fail --max-time 30 --config - "$url"
}

while :; do
  token=$(cat "$token_file" 2>/dev/null)
  if [ -z "$token" ]; then
    echo "there is no token in $token_file yet" >&2
  elif ! call "$token"; then
    # After a failure once more, if there is another token by then: it may have been replaced in between.
    newer=$(cat "$token_file" 2>/dev/null)
    if [ -n "$newer" ] && [ "$newer" != "$token" ]; then
      call "$newer"
    fi
  fi
  sleep "$interval"
done
