# A certificate for Gitea, made once. Its key is for Gitea's own user alone.
set -eu
[ -s cert.pem ] && exit 0
gitea cert --ca --host gitea,localhost --duration 8760h
chown 1000:1000 key.pem
chmod 400 key.pem
chmod 444 cert.pem
