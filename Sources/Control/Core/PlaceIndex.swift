internal import InterCore

/// Finds places in a table by the hash of what lies there. The keys stay in the table: an entry is half a hash and a
/// place, eight bytes, eight entries a cache line, and who looks compares with the table itself.
///
/// Open addressing with linear probing, at most half full; what is taken out leaves no trace (Knuth, volume 3, 6.4,
/// algorithm R).
package struct PlaceIndex: Sendable {
    /// Half of the hash, then the place plus one; 0 for none.
    private var entries = [UInt64](repeating: 0, count: 16)
    package private(set) var count = 0

    package init() {}

    /// The place with this hash that `isRight`.
    @inline(__always)
    package func place(hash: UInt64, where isRight: (Int) -> Bool) -> Int? {
        var position = home(hash)
        while entries[position] != 0 {
            if (entries[position] ^ hash) >> 32 == 0 {
                let place = Self.place(entries[position])
                if isRight(place) { return place }
            }
            position = after(position)
        }
        return nil
    }

    package mutating func insert(_ place: Int, hash: UInt64) {
        if 2 * count >= entries.count { grow() }
        put(Self.entry(place, hash))
        count += 1
    }

    /// Takes out `place`, which went in with this hash; nothing when it is not there.
    package mutating func remove(_ place: Int, hash: UInt64) {
        let gone = Self.entry(place, hash)
        var hole = home(hash)
        while entries[hole] != gone {
            if entries[hole] == 0 { return }
            hole = after(hole)
        }
        count -= 1
        var position = after(hole)
        while entries[position] != 0 {
            // What lies behind the hole moves into it, unless its home is behind the hole as well.
            let isReachable = distance(home(entries[position]), position) >= distance(hole, position)
            if isReachable {
                entries[hole] = entries[position]
                hole = position
            }
            position = after(position)
        }
        entries[hole] = 0
    }

    /// Eight neighbours share a cache line, wherever that is: what has numbers in order is met in order.
    static func hash(_ number: UInt64) -> UInt64 {
        let line = foldedProduct(number >> 3 ^ 0x9E37_79B9_7F4A_7C15, 0xD6E8_FEB8_6659_FD93)
        return line & ~(7 << 32) | (number & 7) << 32
    }

    private mutating func put(_ entry: UInt64) {
        var position = home(entry)
        while entries[position] != 0 { position = after(position) }
        entries[position] = entry
    }

    private mutating func grow() {
        let old = entries
        entries = .init(repeating: 0, count: 2 * old.count)
        for entry in old where entry != 0 { put(entry) }
    }

    private static func entry(_ place: Int, _ hash: UInt64) -> UInt64 {
        hash & 0xFFFF_FFFF_0000_0000 | UInt64(UInt32(truncatingIfNeeded: place) &+ 1)
    }

    private static func place(_ entry: UInt64) -> Int { Int(UInt32(truncatingIfNeeded: entry) &- 1) }

    /// Of a hash or of an entry, which has the hash's upper half.
    private func home(_ hash: UInt64) -> Int { Int(hash >> 32) & (entries.count - 1) }
    private func after(_ position: Int) -> Int { (position + 1) & (entries.count - 1) }
    private func distance(_ from: Int, _ to: Int) -> Int { (to - from) & (entries.count - 1) }
}

/// A proxy's transfer as one number.
package struct TransferKey: Equatable, Sendable {
    package let value: UInt64

    package init(proxy: Int, transfer: UInt32) { value = UInt64(proxy) << 32 | UInt64(transfer) }

    /// Of the number alone: directors count the transfers of all their proxies in one row.
    package var hash: UInt64 { PlaceIndex.hash(value & 0xFFFF_FFFF) }
}

extension FlowHandle {
    var hash: UInt64 {
        // The generation only tells a living flow from a dead one.
        PlaceIndex.hash(UInt64(worker) << 32 | UInt64(index))
    }
}
