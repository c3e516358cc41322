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
}
