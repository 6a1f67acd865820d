#!/bin/sh
# Certificates for the broker and its clients, with the openssl command line. Everything is read from and written
# to the current directory; a key that is there is used again, never overwritten. See README.md beside this file.
set -eu
umask 077

CERTIFICATE_DAYS=730
AUTHORITY_DAYS=3650

usage() {
    cat >&2 <<'END'
usage: certificates.sh authority        at the centre, once: ca.key (keep it off the broker), ca.pem
       certificates.sh server NAME...   at the centre: server.key, server.pem for these host names or addresses
       certificates.sh centre           at the centre: centre.key, centre.pem
       certificates.sh request AGENT    at the hospital: AGENT.key (it stays there), AGENT.csr
       certificates.sh sign AGENT.csr   at the centre: AGENT.pem
AGENT is the agent's id, 32 hex digits, as `edge-agent init` prints it. To renew a certificate: the same again.
END
    exit 64
}

fail() {
    echo "certificates.sh: $1" >&2
    exit 1
}

# The CN becomes part of a topic, so it is an agent's id or `centre`, and `centre` never comes by way of a request.
check_agent() {
    case $1 in
        *[!0-9a-f]*) fail "not an agent's id: $1" ;;
    esac
    [ ${#1} -eq 32 ] || fail "not an agent's id: $1"
}

# A key that is there is used again: its certificate is being renewed.
key() {
    [ -e "$1" ] || openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"
}

# sign CSR, PEM, days: extensions on standard input.
signed() {
    extensions=$(mktemp)
    trap 'rm -f "$extensions"' EXIT
    cat >"$extensions"
    openssl x509 -req -sha256 -in "$1" -CA ca.pem -CAkey ca.key -CAcreateserial -days "$3" \
        -extfile "$extensions" -out "$2"
    chmod 644 "$2"
}

authority() {
    [ ! -e ca.key ] || fail "ca.key exists already; nothing was overwritten"
    key ca.key
    settings=$(mktemp)
    trap 'rm -f "$settings"' EXIT
    cat >"$settings" <<'END'
[req]
distinguished_name = name
x509_extensions = authority
prompt = no
[name]
CN = Guicang broker authority
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
END
    openssl req -x509 -new -sha256 -key ca.key -days "$AUTHORITY_DAYS" -config "$settings" -out ca.pem
    chmod 644 ca.pem
}

server() {
    names=""
    for name in "$@"; do
        case $name in
            "" | *[!A-Za-z0-9.:-]*) fail "not a host name or address: $name" ;;
            *:* | *[0-9].[0-9]*.[0-9]*.[0-9]*) kind=IP ;;
            *) kind=DNS ;;
        esac
        names="$names${names:+,}$kind:$name"
    done
    key server.key
    openssl req -new -key server.key -subj "/CN=broker" -out server.csr
    signed server.csr server.pem "$CERTIFICATE_DAYS" <<END
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = $names
END
    rm server.csr
}

client_request() {
    key "$1.key"
    openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
    chmod 644 "$1.csr"
}

client_signed() {
    signed "$1.csr" "$1.pem" "$CERTIFICATE_DAYS" <<'END'
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
END
}

centre() {
    client_request centre
    client_signed centre
    rm centre.csr
}

request() {
    check_agent "$1"
    client_request "$1"
}

# The name in the request must be the name of the file: whoever signs reads the one and grants the other.
sign() {
    agent=$(basename "$1" .csr)
    check_agent "$agent"
    [ "$1" = "$agent.csr" ] || fail "the request must lie here, as $agent.csr"
    openssl req -in "$1" -noout -verify 2>/dev/null || fail "$1 is not a sound request"
    subject=$(openssl req -in "$1" -noout -subject -nameopt RFC2253)
    [ "$subject" = "subject=CN=$agent" ] || fail "$1 asks for another name: $subject"
    client_signed "$agent"
}

[ $# -ge 1 ] || usage
verb=$1
shift
case $verb:$# in
    authority:0) authority ;;
    server:0) usage ;;
    server:*) server "$@" ;;
    centre:0) centre ;;
    request:1) request "$1" ;;
    sign:1) sign "$1" ;;
    *) usage ;;
esac
