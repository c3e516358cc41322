/// A header that is written in words, each of which is summed as it is written, so that none is read again for a checksum.
///
/// The header must start at an even offset of what its checksum sums.
struct HeaderWriter: BitwiseCopyable {
    let header: UnsafeMutableRawPointer
    /// Of what the checksum is over besides, and of what has been written.
    var sum: InternetChecksum

    @inline(__always)
    init(_ header: UnsafeMutableRawPointer, after sum: InternetChecksum = InternetChecksum()) {
        self.header = header
        self.sum = sum
    }

    @inline(__always)
    mutating func set32(_ offset: Int, _ value: UInt32) {
        header.setWire32(offset, value)
        sum.add(pair: value)
    }
}
