# Shared by reserve.sh, status.sh and release.sh; sourced, not run.
# BATON_SYSFS and BATON_STATE point elsewhere in tests.

SYSFS=${BATON_SYSFS:-/sys}
STATE_DIR=${BATON_STATE:-/run/baton}
STATE=$STATE_DIR/hugepages

PROGRAM=$(basename "$0")

fail() {
    printf '%s: %s\n' "$PROGRAM" "$*" >&2
    exit 1
}

usage_error() {
    printf '%s: %s (try --help)\n' "$PROGRAM" "$*" >&2
    exit 64
}

# Reads a command line into `node`, `size` and `pages`; the first argument names the options that there are. --help
# prints what the program's `usage` says.
read_arguments() {
    options=$1
    shift
    while [ $# -gt 0 ]; do
        case $1 in
            --help | -h) usage; exit 0 ;;
            --node | --size | --pages) ;;
            *) usage_error "unknown argument '$1'" ;;
        esac
        case " $options " in
            *" $1 "*) ;;
            *) usage_error "unknown argument '$1'" ;;
        esac
        [ $# -ge 2 ] || usage_error "$1 needs a value"
        case $1 in
            --node) node=$2 ;;
            --size) size=$2 ;;
            --pages) pages=$2 ;;
        esac
        shift 2
    done
}

# 2M or 1G, in the kernel's kB.
kilobytes() {
    case $1 in
        2M) echo 2048 ;;
        1G) echo 1048576 ;;
        *) usage_error "--size is 2M or 1G, not '$1'" ;;
    esac
}

is_number() {
    case $1 in
        '' | *[!0-9]*) return 1 ;;
        *) [ "${#1}" -le 9 ] ;;
    esac
}

# The numbers of the NUMA nodes; "-" alone on a kernel without NUMA, whose pages have one pool for all.
all_nodes() {
    found=
    for directory in "$SYSFS"/devices/system/node/node[0-9]*; do
        [ -d "$directory/hugepages" ] || continue
        found="$found ${directory##*/node}"
    done
    # shellcheck disable=SC2086
    if [ -n "$found" ]; then printf '%s\n' $found | sort -n; else echo -; fi
}

# The nodes that --node means.
chosen_nodes() {
    if [ "$1" = all ]; then
        all_nodes
        return
    fi
    is_number "$1" || usage_error "--node is a number or all, not '$1'"
    nodes=$(all_nodes)
    # A kernel without NUMA is one node, and that is node 0.
    if [ "$nodes" = - ] && [ "$1" = 0 ]; then
        echo -
    elif printf '%s\n' "$nodes" | grep -qx "$1"; then
        echo "$1"
    else
        fail "this machine has no NUMA node $1 (nodes: $(printf '%s' "$nodes" | tr '\n' ' '))"
    fi
}

# The directory of a node's pages of a size in kB.
pool() {
    if [ "$1" = - ]; then
        echo "$SYSFS/kernel/mm/hugepages/hugepages-${2}kB"
    else
        echo "$SYSFS/devices/system/node/node$1/hugepages/hugepages-${2}kB"
    fi
}

size_name() {
    if [ "$1" = 2048 ]; then echo 2M; else echo 1G; fi
}

need_root() {
    [ -n "${BATON_SYSFS:-}" ] || [ "$(id -u)" = 0 ] || fail "must be root to $1 hugepages"
}

# How many pages of a pool reserve.sh took and release.sh has not given back.
taken() {
    [ -f "$STATE" ] || { echo 0; return; }
    awk -v node="$1" -v size="$2" '$1 == node && $2 == size { pages = $3 } END { print pages + 0 }' "$STATE"
}

# Notes that `$3` pages of the pool are ours. In one step: a torn file would lose pages.
remember() {
    mkdir -p "$STATE_DIR" || fail "cannot make $STATE_DIR"
    {
        if [ -f "$STATE" ]; then awk -v node="$1" -v size="$2" '!($1 == node && $2 == size)' "$STATE"; fi
        if [ "$3" -gt 0 ]; then echo "$1 $2 $3"; fi
    } >"$STATE.new" && mv "$STATE.new" "$STATE" || fail "cannot write $STATE"
    [ -s "$STATE" ] || rm -f "$STATE"
}
