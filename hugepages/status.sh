#!/bin/sh
# Shows the hugepages of each NUMA node, and which are Baton's. See README.md.
set -eu
. "$(dirname "$0")/common.sh"

usage() {
    cat <<'END'
Usage: status.sh [--node N|all] [--size 2M|1G]

Shows, for each node and size: pages in all, free ones, and those that reserve.sh took for Baton.

  --node N|all   NUMA node (default: all)
  --size 2M|1G   size of a page (default: both)
  --help         this text
END
}

node=all size='2M 1G'
read_arguments "--node --size" "$@"
sizes=$size
nodes=$(chosen_nodes "$node")

printf '%-4s  %-4s  %8s  %8s  %8s\n' NODE SIZE TOTAL FREE BATON
for node in $nodes; do
    for size in $sizes; do
        kilobytes=$(kilobytes "$size")
        pool=$(pool "$node" "$kilobytes")
        [ -d "$pool" ] || continue
        printf '%-4s  %-4s  %8s  %8s  %8s\n' "$node" "$size" "$(cat "$pool/nr_hugepages")" \
            "$(cat "$pool/free_hugepages")" "$(taken "$node" "$kilobytes")"
    done
done
