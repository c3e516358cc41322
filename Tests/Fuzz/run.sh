#!/usr/bin/env bash
# Builds the fuzzers and runs each: Tests/Fuzz/run.sh [seconds, default 5] [wire|translation|handshake|crtp|blobs …]
# First every kept input once, then new ones for so many seconds. A crash leaves its input in the corpus, as a
# regression test to be committed with its mend. `MERGE=1` also brings what was learnt into the corpus, minimised.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-5}
targets=("${@:2}")
[ ${#targets[@]} -gt 0 ] || targets=(wire translation handshake crtp blobs)
build=${FUZZ_BUILD:-.build/fuzz}
mkdir -p "$build"

# Asserts stay in (-Onone), coverage and address checks in every module.
flags=(-Onone -swift-version 6 -enable-upcoming-feature MemberImportVisibility -package-name Baton
    -sanitize=fuzzer,address -parse-as-library -I "$build")

# Freed memory is kept from reuse only so long, or the bound below is reached by that alone.
export ASAN_OPTIONS=${ASAN_OPTIONS:-quarantine_size_mb=16}
# libFuzzer reports crashes itself; Swift's backtracer would wait for a process that is gone.
export SWIFT_BACKTRACE=enable=no

echo "fuzz: building Wire"
mapfile -t wire < <(find Sources/Wire -name '*.swift' | sort)
swiftc "${flags[@]}" -wmo -module-name Wire -emit-module -emit-module-path "$build/Wire.swiftmodule" \
    -emit-object -o "$build/Wire.o" "${wire[@]}"

for target in "${targets[@]}"; do
    echo "fuzz: building $target"
    case $target in
    wire | translation | handshake)
        swiftc "${flags[@]}" -module-name "${target^}Fuzzer" "Tests/Fuzz/${target^}Fuzzer.swift" "$build/Wire.o" \
            -o "$build/$target"
        ;;
    crtp | blobs)
        # All of CRTP that needs no cryptography: what lies on both sides of the tag.
        mapfile -t crtp < <(grep -L '^import Crypto\|^internal import CCrypto' Sources/Control/CRTP/*.swift Sources/Control/CRTP/Blobs/*.swift |
            grep --line-buffered -Ev '/(Channel(Initiator|Responder).*|(Group)?Session|HandOff.*)\.swift$')
        swiftc "${flags[@]}" -wmo -module-name CRTP -emit-module -emit-module-path "$build/CRTP.swiftmodule" \
            -emit-object -o "$build/CRTP.o" "${crtp[@]}"
        fuzzer=CRTPFuzzer
        [ "$target" = blobs ] && fuzzer=BlobsFuzzer
        swiftc "${flags[@]}" -module-name "$fuzzer" "Tests/Fuzz/$fuzzer.swift" "$build/CRTP.o" "$build/Wire.o" \
            -o "$build/$target"
        ;;
    *) echo "fuzz: no target $target" >&2; exit 2 ;;
    esac
    corpus=Tests/Fuzz/corpus/$target
    grown=$build/corpus-$target
    mkdir -p "$grown" "$corpus"
    kept=$(find "$corpus" -type f | wc -l)
    echo "fuzz: $target: $kept kept inputs, then $seconds s of new ones"
    dictionary=()
    [ -f "Tests/Fuzz/$target.dict" ] && dictionary=(-dict="Tests/Fuzz/$target.dict")
    "$build/$target" "$grown" "$corpus" "${dictionary[@]}" -max_total_time="$seconds" -max_len=4096 -timeout=5 \
        -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$corpus/" 2>&1 |
        grep --line-buffered -Ev '^#[0-9]+\s+(NEW|REDUCE)|NEW_FUNC|Recommended dictionary|recommended dictionary|# Uses:|^INFO' || { echo "fuzz: $target failed" >&2; exit 1; }
    if [ "${MERGE:-0}" = 1 ]; then
        "$build/$target" -merge=1 "$corpus" "$grown" 2>&1 | tail -1
    fi
done
echo "fuzz: ok"
