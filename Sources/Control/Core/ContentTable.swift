/// Which proxy an object belongs to, so that each proxy's cache holds its own share and no more: Maglev's lookup table
/// (Eisenbud et al. 2016, section 3.4), filled by weight. Directors with the same proxies agree.
///
/// The table knows the proxies that are configured, not those that are there: when one is lost, its share alone goes to
/// others, object by object, and comes back with it.
struct ContentTable: Sendable {
    /// Position among the proxies.
    private var owners: [UInt8]
    private let proxies: [Int]

    /// Prime, and a hundred times as many as proxies in a usual set: shares are even to about a percent.
    static var size: Int { 4_099 }
    /// Owners that are asked for before all are tried in order.
    private static var tries: Int { 16 }

    /// - Parameter proxies: indices, with names (which place them) and weights; at most 255.
    init(_ proxies: [(index: Int, configuration: DirectorConfiguration.Proxy)]) {
        self.proxies = proxies.map(\.index)
        owners = []
        guard !proxies.isEmpty else { return }
        var rows = proxies.map { Row(name: $0.configuration.name, weight: max(1, $0.configuration.weight)) }
        let heaviest = rows.map(\.weight).max() ?? 1
        var table = [UInt8?](repeating: nil, count: Self.size)
        var filled = 0
        while filled < Self.size {
            for position in rows.indices where filled < Self.size {
                rows[position].credit += rows[position].weight
                guard rows[position].credit >= heaviest else { continue }
                rows[position].credit -= heaviest
                table[rows[position].nextFree(in: table)] = UInt8(position)
                filled += 1
            }
        }
        owners = table.map { $0 ?? 0 }
    }

    /// The first of the content's owners, in its own order of them, that is eligible; nil when none is.
    func proxy(for content: UInt64, isEligible: (Int) -> Bool) -> Int? {
        guard !owners.isEmpty else { return nil }
        var hash = mixed(content)
        for _ in 0..<Self.tries {
            let proxy = proxies[Int(owners[Int(hash % UInt64(Self.size))])]
            if isEligible(proxy) { return proxy }
            hash = mixed(hash &+ 1)
        }
        let start = Int(hash % UInt64(proxies.count))
        return (0..<proxies.count).lazy.map { proxies[(start + $0) % proxies.count] }.first(where: isEligible)
    }

    /// One proxy's order of places.
    private struct Row {
        let weight: Int
        var credit = 0
        private var place: Int
        private let step: Int

        init(name: String, weight: Int) {
            self.weight = weight
            let hash = contentHash(of: name.utf8)
            place = Int(hash % UInt64(ContentTable.size))
            step = Int(mixed(hash) % UInt64(ContentTable.size - 1)) + 1
        }

        mutating func nextFree(in table: [UInt8?]) -> Int {
            while table[place] != nil { place = (place + step) % ContentTable.size }
            return place
        }
    }
}

/// FNV-1a, the same in every director and at every start.
func contentHash(of bytes: some Sequence<UInt8>, after start: UInt64 = 0xCBF2_9CE4_8422_2325) -> UInt64 {
    bytes.reduce(start) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
}

/// An object's hash: its host, whose case does not matter, and its path with the query.
func contentHash(host: UnsafeRawBufferPointer, path: UnsafeRawBufferPointer) -> UInt64 {
    contentHash(of: path, after: contentHash(of: host.lazy.map(lowercased)) &* 31)
}
