#!/bin/sh
# Reserves hugepages for batond on one NUMA node or on each. See README.md.
set -eu
. "$(dirname "$0")/common.sh"

usage() {
    cat <<'END'
Usage: reserve.sh [--node N|all] [--size 2M|1G] --pages N

Sees to it that N hugepages of the size are reserved for Baton on the node (on each node with `all`), on top of what
others have reserved. Running it again changes nothing; another N makes it so. release.sh gives back what this took.

  --node N|all   NUMA node (default: all)
  --size 2M|1G   size of a page (default: 2M)
  --pages N      pages on each node
  --help         this text

Examples:
  reserve.sh --pages 256                     512 MiB on each node
  reserve.sh --node 0 --size 1G --pages 4    4 GiB on node 0
END
}

node=all size=2M pages=
read_arguments "--node --size --pages" "$@"
[ -n "$pages" ] || usage_error "--pages is required"
is_number "$pages" || usage_error "--pages is a number, not '$pages'"
kilobytes=$(kilobytes "$size")
nodes=$(chosen_nodes "$node")
need_root reserve

for node in $nodes; do
    pool=$(pool "$node" "$kilobytes")
    [ -d "$pool" ] || fail "this kernel has no hugepages of $size on node $node (no $pool)"
    before=$(cat "$pool/nr_hugepages")
    ours=$(taken "$node" "$kilobytes")
    # After a restart of the machine, or when somebody has set the number anew, less may be left than was taken.
    if [ "$ours" -gt "$before" ]; then ours=$before; fi
    wanted=$((before - ours + pages))
    if [ "$wanted" -ne "$before" ]; then
        echo "$wanted" >"$pool/nr_hugepages" 2>/dev/null || true
    fi
    after=$(cat "$pool/nr_hugepages")
    now_ours=$((after - (before - ours)))
    if [ "$now_ours" -lt 0 ]; then now_ours=0; fi
    remember "$node" "$kilobytes" "$now_ours"
    if [ "$now_ours" -lt "$pages" ]; then
        printf '%s: the kernel gives %s of %s pages of %s on node %s: ' "$PROGRAM" "$now_ours" "$pages" "$size" "$node" >&2
        if [ "$size" = 1G ]; then
            printf 'memory is too fragmented; reserve at boot with hugepagesz=1G hugepages=%s\n' "$pages" >&2
        else
            printf 'free some memory, or try: echo 3 >/proc/sys/vm/drop_caches; echo 1 >/proc/sys/vm/compact_memory\n' >&2
        fi
        failed=1
    else
        printf 'node %s: %s pages of %s reserved for Baton, %s in all\n' "$node" "$now_ours" "$size" "$after"
    fi
done
[ -z "${failed:-}" ] || exit 1
