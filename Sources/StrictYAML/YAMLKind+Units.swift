extension YAMLKind<UInt64> {
    /// A length of time with its unit, in microseconds: `200us`, `20ms`, `1.5s`, `5min`, `2h`. A bare `0` is fine.
    public static func duration(in range: ClosedRange<UInt64>) -> YAMLKind {
        let limits = "\(durationText(range.lowerBound)) and \(durationText(range.upperBound))"
        return .plain(
            "a duration between \(limits)",
            remedy: "write a number with one of the units us, ms, s, min, h, such as 20ms"
        ) { text in
            guard let microseconds = parseDuration(text), range.contains(microseconds) else { return nil }
            return microseconds
        }
    }
}

extension YAMLKind<Int> {
    /// An amount of bytes, `4096`, `64KiB`, `16MiB`, `1GiB`, or in thousands: `64kB`, `16MB`, `1GB`.
    public static func bytes(in range: ClosedRange<Int>) -> YAMLKind {
        .plain(
            "an amount between \(range.lowerBound) and \(range.upperBound) bytes",
            remedy: "write a number, with one of the units B, KiB, MiB, GiB, kB, MB, GB at will"
        ) { text in
            guard let bytes = parseAmount(text, units: byteUnits), range.contains(bytes) else { return nil }
            return bytes
        }
    }
}

extension YAMLKind<UInt32> {
    /// A bit rate in kbit/s: `500kbit`, `5Mbit`, `1.5Gbit`, each a second.
    public static var bitRate: YAMLKind {
        .plain("a bit rate of at most 4294Gbit", remedy: "write a number with one of the units kbit, Mbit, Gbit") {
            text in
            text == "0" ? 0 : parseAmount(text, units: bitRateUnits).flatMap { UInt32(exactly: $0) }
        }
    }
}

private let bitRateUnits: [(name: String, factor: Int)] = [
    ("kbit", 1), ("Mbit", 1_000), ("Gbit", 1_000_000),
]

private let durationUnits: [(name: String, factor: Int)] = [
    ("us", 1), ("µs", 1), ("ms", 1_000), ("min", 60_000_000), ("s", 1_000_000), ("h", 3_600_000_000),
]

private let byteUnits: [(name: String, factor: Int)] = [
    ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000),
    ("B", 1), ("", 1),
]

/// Microseconds; nil for anything that is not a number with a unit.
public func parseDuration(_ text: String) -> UInt64? {
    text == "0" ? 0 : parseAmount(text, units: durationUnits).map(UInt64.init)
}

/// The largest unit that gives a whole number: `20ms`.
public func durationText(_ microseconds: UInt64) -> String {
    if microseconds == 0 { return "0" }
    let units: [(String, UInt64)] = [("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000)]
    for (name, factor) in units where microseconds % factor == 0 { return "\(microseconds / factor)\(name)" }
    return "\(microseconds)us"
}

/// A decimal number, not negative, at most nine digits after the point, and a unit; blanks between them at will.
private func parseAmount(_ text: String, units: [(name: String, factor: Int)]) -> Int? {
    let number = text.prefix { $0.isASCII && $0.isNumber || $0 == "." || $0 == "_" }
    let unit = text.dropFirst(number.count).drop { $0 == " " }
    guard let factor = units.first(where: { $0.name == unit })?.factor else { return nil }
    let parts = number.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    guard let whole = YAMLKind<Int>.decimal(String(parts[0])), whole >= 0 else { return nil }
    let (product, overflows) = whole.multipliedReportingOverflow(by: factor)
    guard !overflows else { return nil }
    guard parts.count == 2 else { return product }
    guard !parts[1].isEmpty, parts[1].count <= 9, parts[1].allSatisfy(\.isNumber),
        let fraction = Double("0.\(parts[1])")
    else { return nil }
    let (sum, overflowsToo) = product.addingReportingOverflow(Int((fraction * Double(factor)).rounded()))
    return overflowsToo ? nil : sum
}
