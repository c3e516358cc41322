/// Some of a director's proxies, by index.
package struct ProxySet: Sendable {
    private var words = InlineArray<4, UInt64>(repeating: 0)
    package private(set) var count = 0

    package init() {}

    /// As many as `ProxyIndex` can name.
    package static var capacity: Int { 256 }

    package var isEmpty: Bool { count == 0 }

    package func contains(_ proxy: Int) -> Bool { words[proxy >> 6] & 1 << UInt64(proxy & 63) != 0 }

    package mutating func insert(_ proxy: Int) {
        guard !contains(proxy) else { return }
        words[proxy >> 6] |= 1 << UInt64(proxy & 63)
        count += 1
    }

    package mutating func formUnion(_ other: ProxySet) {
        count = 0
        for index in words.indices {
            words[index] |= other.words[index]
            count += words[index].nonzeroBitCount
        }
    }
}
