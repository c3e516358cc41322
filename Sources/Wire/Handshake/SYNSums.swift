/// The sums of a SYN: whether they come out right, and what of them its answer has, too. So that much is read once, and
/// only after it has been verified.
struct SYNSums: BitwiseCopyable {
    /// Over the protocol, both addresses and both ports: the same in either direction.
    let connection: InternetChecksum
    /// IPv4's header checksum and TCP's.
    let areRight: Bool

    /// - Parameter layout: a TCP segment's.
    @inline(__always)
    init(_ frame: UnsafeRawPointer, _ layout: PacketLayout) {
        let header = frame + Int(layout.network)
        let segment = frame + Int(layout.transport)
        var sum = InternetChecksum()
        var isHeaderRight = true
        if layout.isV6 {
            sum.addWords(header, from: 8, to: 40)
        } else {
            sum.addWords(header, from: 12, to: 20)
            var whole = sum
            whole.addWords(header, from: 0, to: 12)
            let length = Int(header.wire8(0) & 15) &* 4
            if length > 20 { whole.add(header + 20, count: length &- 20) }
            isHeaderRight = whole.isValid
        }
        sum.add(pair: segment.wire32(0))
        sum.add(word: 6)
        connection = sum

        let length = Int(layout.payload) &- Int(layout.transport)
        sum.add(word: UInt16(truncatingIfNeeded: length) &+ layout.payloadLength)
        sum.addWords(segment, from: 4, to: length)
        if layout.payloadLength > 0 { sum.add(segment + length, count: Int(layout.payloadLength)) }
        areRight = isHeaderRight && sum.isValid
    }
}

extension InternetChecksum {
    /// Whole words of 32 bits: for what is too short for a loop that begins by asking how long it is.
    @inline(__always)
    fileprivate mutating func addWords(_ bytes: UnsafeRawPointer, from start: Int, to end: Int) {
        var offset = start
        while offset < end {
            add(pair: bytes.wire32(offset))
            offset &+= 4
        }
    }
}
