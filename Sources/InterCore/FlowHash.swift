public import Wire

/// The hash of a flow: places it in a worker's table, gives it its owner, and draws the lot for `canary` rules. Workers
/// and control core compute it alike, and both directions of a connection have the same key, hence the same hash.
///
/// Folded 64 x 64 -> 128 bit products (the construction of wyhash): three multiplications, no branch. The seed is secret,
/// so that nobody outside can choose connections that collide.
///
/// Bits: the upper 32 choose the owner, bits 16 to 31 the canary, so a table should index by the lower ones and keep
/// the upper ones as its tag.
@inlinable @inline(__always)
public func flowHash(of key: FlowKey, seed: UInt64) -> UInt64 {
    let ports = UInt64(key.clientPort) << 32 | UInt64(key.serverPort) << 16 | UInt64(key.vlan.value)
    let client = foldedProduct(key.client.high ^ 0x9E37_79B9_7F4A_7C15 ^ seed, key.client.low ^ 0xD1B5_4A32_D192_ED03)
    let server = foldedProduct(key.server.high ^ 0x8CB9_2BA7_2F3D_8DD7, key.server.low ^ 0xAAAA_AAAA_5555_5555 ^ seed)
    return foldedProduct(client ^ ports ^ 0x2545_F491_4F6C_DD1D, server ^ seed ^ 0x9FB2_1C65_1E98_DF25)
}

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
    (((hash >> 16) & 0xFFFF) &* 100) >> 16 < UInt64(percent)
}

/// Both halves of the 128-bit product, folded into one.
@inlinable @inline(__always)
public func foldedProduct(_ left: UInt64, _ right: UInt64) -> UInt64 {
    let product = left.multipliedFullWidth(by: right)
    return product.high ^ product.low
}
