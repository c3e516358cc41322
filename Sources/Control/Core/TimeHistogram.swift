/// How long things took, in buckets; a fixed size, whatever comes.
public struct TimeHistogram: Codable, Sendable, Equatable {
    /// Upper bounds of the buckets, included; what took longer is in none of them.
    public static let boundsMicroseconds: [UInt64] = [
        50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000,
    ]

    /// By bucket, each without the ones before it.
    public private(set) var counts = [UInt64](repeating: 0, count: boundsMicroseconds.count)
    public private(set) var count: UInt64 = 0
    public private(set) var sumMicroseconds: UInt64 = 0

    public init() {}

    public mutating func add(_ microseconds: UInt64) {
        count += 1
        sumMicroseconds &+= microseconds
        if let bucket = Self.boundsMicroseconds.firstIndex(where: { microseconds <= $0 }) { counts[bucket] += 1 }
    }

    /// What has been added since an earlier copy.
    public func since(_ earlier: TimeHistogram) -> TimeHistogram {
        var difference = self
        for index in counts.indices { difference.counts[index] &-= min(earlier.counts[index], counts[index]) }
        difference.count &-= min(earlier.count, count)
        difference.sumMicroseconds &-= min(earlier.sumMicroseconds, sumMicroseconds)
        return difference
    }

    /// Microseconds within which this part of all were done, 0...1: evenly spread within a bucket, as Prometheus takes
    /// it; the last bound for what lies behind it. Nil when there is nothing.
    public func quantile(_ part: Double) -> Double? {
        guard count > 0 else { return nil }
        let rank = part * Double(count)
        var below = 0.0
        for (index, inside) in counts.enumerated() where inside > 0 {
            if below + Double(inside) >= rank {
                let lower = index == 0 ? 0 : Double(Self.boundsMicroseconds[index - 1])
                let upper = Double(Self.boundsMicroseconds[index])
                return lower + (upper - lower) * (rank - below) / Double(inside)
            }
            below += Double(inside)
        }
        return Self.boundsMicroseconds.last.map { Double($0) }
    }
}
