#!/bin/sh
# Gives back the hugepages that reserve.sh took, and no others. See README.md.
set -eu
. "$(dirname "$0")/common.sh"

usage() {
    cat <<'END'
Usage: release.sh [--node N|all] [--size 2M|1G] [--pages N]

Gives back what reserve.sh took. Pages that others reserved stay, and so do pages in use: those are given back by the
next run, once their user has ended. Running it again is harmless.

  --node N|all   NUMA node (default: all)
  --size 2M|1G   size of a page (default: both)
  --pages N      at most so many on each node (default: all that were taken)
  --help         this text
END
}

node=all size='2M 1G' pages=999999999
read_arguments "--node --size --pages" "$@"
sizes=$size
is_number "$pages" || usage_error "--pages is a number, not '$pages'"
nodes=$(chosen_nodes "$node")
need_root release

for node in $nodes; do
    for size in $sizes; do
        kilobytes=$(kilobytes "$size")
        ours=$(taken "$node" "$kilobytes")
        [ "$ours" -gt 0 ] || continue
        pool=$(pool "$node" "$kilobytes")
        if [ ! -d "$pool" ]; then
            remember "$node" "$kilobytes" 0
            continue
        fi
        before=$(cat "$pool/nr_hugepages")
        free=$(cat "$pool/free_hugepages")
        # Writing less than what is in use would make the kernel take pages back later, behind everyone's back.
        give=$ours
        if [ "$give" -gt "$pages" ]; then give=$pages; fi
        if [ "$give" -gt "$before" ]; then give=$before; fi
        if [ "$give" -gt "$free" ]; then give=$free; fi
        if [ "$give" -gt 0 ]; then echo $((before - give)) >"$pool/nr_hugepages"; fi
        after=$(cat "$pool/nr_hugepages")
        given=$((before - after))
        left=$((ours - given))
        if [ "$left" -gt "$after" ]; then left=$after; fi
        remember "$node" "$kilobytes" "$left"
        printf 'node %s: %s pages of %s given back\n' "$node" "$given" "$size"
        wanted=$((ours < pages ? ours : pages))
        if [ "$given" -lt "$wanted" ] && [ "$left" -gt 0 ]; then
            printf '%s: %s pages of %s on node %s are in use: end their user and run this again\n' \
                "$PROGRAM" "$left" "$size" "$node" >&2
            failed=1
        fi
    done
done
[ -z "${failed:-}" ] || exit 1
