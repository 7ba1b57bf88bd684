# wshim's repository on Gitea, and the two connections of its service file. Safe to run again.
set -euo pipefail
token=$(cat /var/lib/gitea/fleetpgo-token)
repository=https://gitea:3000/fleet/wshim.git
# By the environment: what stands on a command line, everybody on the machine can read.
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=http.https://gitea:3000/.extraHeader
GIT_CONFIG_VALUE_0="Authorization: Basic $(printf 'fleet:%s' "$token" | base64 --wrap 0)"
export GIT_CONFIG_VALUE_0

if ! git ls-remote --exit-code "$repository" main > /dev/null 2>&1; then
    work=$(mktemp -d)
    cp -r /opt/airflow/wshim/. "$work"
    cd "$work"
    git init --quiet --initial-branch=main
    git add .
    git -c user.name=wshim -c user.email=wshim@example.com commit --quiet -m "Add the push gateway"
    git push --quiet "$repository" main # which makes the repository
fi

connections=$(mktemp --suffix .json)
cat > "$connections" <<END
{"wshim_prometheus": {"conn_type": "http", "host": "http://thanos-query:10902"},
 "wshim_forge": {"conn_type": "generic", "host": "https://gitea:3000", "password": "$token"}}
END
airflow connections import --overwrite "$connections"
rm "$connections"
