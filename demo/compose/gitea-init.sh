# The demo's user on Gitea, and her token in a file that demo-init reads. Safe to run again.
set -eu
gitea admin user list | grep -qw fleet ||
    gitea admin user create --username fleet --password "$GITEA_PASSWORD" --email fleet@example.com \
        --admin --must-change-password=false
token=/var/lib/gitea/fleetpgo-token
[ -s "$token" ] && exit 0
umask 037
gitea admin user generate-access-token --username fleet --token-name fleetpgo --raw \
    --scopes write:repository,write:issue,write:user,read:organization > "$token"
