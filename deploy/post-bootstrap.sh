#!/bin/sh
# Patroni runs this once, on the first primary, when the cluster is made: the database user and the
# database of Haechi. $1 is a connection string of the superuser.
set -eu
password=$(cat "@SECRETS@/database-password")
/usr/lib/postgresql/15/bin/psql -X -q -v ON_ERROR_STOP=1 -v password="$password" "$1" <<'SQL'
create role haechi login password :'password';
create database haechi owner haechi template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C.UTF-8';
SQL
