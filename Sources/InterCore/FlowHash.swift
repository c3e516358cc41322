public import Wire

/// The hash of a flow: places it in a worker's table, gives it its owner, and draws the lot for `canary` rules. Workers
/// and control core compute it alike, and both directions of a connection have the same key, hence the same hash.
///
/// Folded 64 x 64 -> 128 bit products (the construction of wyhash): two multiplications for IPv4, three for IPv6. The
/// seed is secret and new at each start, so that nobody outside can choose connections that collide; it is in both
/// factors of a product that the sender of a packet could otherwise make zero.
///
/// Bits: the upper 32 choose the owner, bits 32 to 47 the canary, so a table should index by the lower 32 and take its
/// tag from above them.
@inlinable @inline(__always)
public func flowHash(of key: PackedFlowKey, seed: UInt64) -> UInt64 {
    guard key.isV6 else {
        // No port is so large that the second factor were zero.
        let folded = foldedProduct(key.addresses ^ seed ^ 0x9E37_79B9_7F4A_7C15, key.ports ^ 0x2545_F491_4F6C_DD1D)
        return foldedProduct(folded ^ seed, 0x9FB2_1C65_1E98_DF25)
    }
    let turned = seed &<< 32 | seed &>> 32
    let client = foldedProduct(key.addresses ^ seed ^ 0xD1B5_4A32_D192_ED03, key.clientLow ^ turned)
    let server = foldedProduct(
        key.serverHigh ^ seed ^ 0x8CB9_2BA7_2F3D_8DD7, key.serverLow ^ turned ^ 0xAAAA_AAAA_5555_5555)
    let both = client ^ (server &<< 23 | server &>> 41)
    return foldedProduct(both ^ key.ports ^ seed, 0x9FB2_1C65_1E98_DF25)
}

@inlinable
public func flowHash(of key: FlowKey, seed: UInt64) -> UInt64 { flowHash(of: PackedFlowKey(key), seed: seed) }

/// The worker that owns a flow for life (invariant 9): 0 ..< `workerCount`.
@inlinable @inline(__always)
public func flowOwner(of key: FlowKey, seed: UInt64, workerCount: Int) -> Int {
    flowOwner(ofHash: flowHash(of: key, seed: seed), workerCount: workerCount)
}

/// The same for a hash that is known already.
@inlinable @inline(__always)
public func flowOwner(ofHash hash: UInt64, workerCount: Int) -> Int {
    Int(truncatingIfNeeded: ((hash >> 32) &* UInt64(truncatingIfNeeded: workerCount)) >> 32)
}

/// True for the part of all flows that a `canary(percent:)` rule holds.
@inlinable @inline(__always)
public func isCanary(hash: UInt64, percent: UInt8) -> Bool {
    (((hash >> 32) & 0xFFFF) &* 100) >> 16 < UInt64(percent)
}

/// Both halves of the 128-bit product, folded into one.
@inlinable @inline(__always)
public func foldedProduct(_ left: UInt64, _ right: UInt64) -> UInt64 {
    let product = left.multipliedFullWidth(by: right)
    return product.high ^ product.low
}
