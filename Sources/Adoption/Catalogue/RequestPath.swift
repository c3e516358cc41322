/// A request target that names one file below a root in exactly one way, or nothing: whatever two servers could read
/// differently (dot segments, doubled slashes, encoded slashes, backslashes, control characters) is not a path here
/// and so is the origin's.
public struct RequestPath: Hashable, Sendable {
    /// Segments joined by "/", without one at either end: `images/logo.png`; empty for `/`.
    public var file: String
    /// The target ended in "/".
    public var isDirectory: Bool
    public var hasQuery: Bool

    /// Reads a path with an optional query, as it stands in a request: `/a%20b/c.html?x=1`.
    public init?(_ target: some Collection<UInt8>) {
        let slash = UInt8(ascii: "/")
        guard target.first == slash, target.count <= 4_096 else { return nil }
        let path = target.prefix { $0 != UInt8(ascii: "?") }
        hasQuery = path.count != target.count
        guard let decoded = RequestPath.decode(path.dropFirst()) else { return nil }
        isDirectory = decoded.isEmpty || decoded.last == slash
        let trimmed = isDirectory ? decoded.dropLast() : decoded[...]
        if !trimmed.isEmpty {
            for segment in trimmed.split(separator: slash, omittingEmptySubsequences: false) {
                guard !segment.isEmpty, segment.count <= 255, segment != [0x2E], segment != [0x2E, 0x2E] else {
                    return nil
                }
            }
        }
        guard let file = String(validating: trimmed, as: UTF8.self) else { return nil }
        self.file = file
    }

    /// Percent-decoding; nil for a bad escape, for a character that is not to stand in a file's name here, and for an
    /// encoded slash.
    private static func decode(_ bytes: some Collection<UInt8>) -> [UInt8]? {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(bytes.count)
        var iterator = bytes.makeIterator()
        while let byte = iterator.next() {
            guard byte == UInt8(ascii: "%") else {
                guard byte > 0x20, byte != 0x7F, byte != UInt8(ascii: "\\"), byte != UInt8(ascii: "#") else {
                    return nil
                }
                decoded.append(byte)
                continue
            }
            guard let high = iterator.next().flatMap(hexadecimal), let low = iterator.next().flatMap(hexadecimal) else {
                return nil
            }
            let value = high << 4 | low
            guard value >= 0x20, value != 0x7F, value != UInt8(ascii: "/"), value != UInt8(ascii: "\\") else {
                return nil
            }
            decoded.append(value)
        }
        return decoded
    }

    private static func hexadecimal(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
