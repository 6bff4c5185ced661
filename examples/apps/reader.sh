#!/bin/sh
# Calls an API with the mounted token. The file is read anew for each request: its content changes while the app runs.
set -eu
token_file=${TOKEN_FILE:-/credential/access_token}
url=${API_URL:-https://api.example.com/calendar/v3/events}
while :; do
  # Through standard input, so that the token is in no process list.
  printf 'header = "Authorization: Bearer %s"\n' "$(cat "$token_file")" |
    curl --silent --show-error --config - "$url"
  sleep "${INTERVAL:-60}"
done
