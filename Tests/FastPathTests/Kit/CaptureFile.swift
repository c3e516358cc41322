import Foundation

/// A frame and when it passed, in microseconds of virtual time.
struct CapturedFrame: Equatable {
    var time: UInt64
    var bytes: [UInt8]
}

/// A capture as tcpdump writes it: the classic format of libpcap, little-endian, microseconds, Ethernet.
///
///     file:   magic a1b2c3d4 | 2.4 | zone 0 | accuracy 0 | longest frame | link type 1
///     frame:  seconds | microseconds | bytes kept | bytes of the frame | bytes
struct CaptureFile: Equatable {
    var frames: [CapturedFrame] = []

    static var fileHeaderLength: Int { 24 }
    static var frameHeaderLength: Int { 16 }

    struct Malformed: Error {
        let path: String
    }

    init(frames: [CapturedFrame] = []) { self.frames = frames }

    init(path: String) throws {
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        func word(_ offset: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << ($1 * 8) } }
        guard bytes.count >= Self.fileHeaderLength, word(0) == 0xA1B2_C3D4, word(20) == 1 else {
            throw Malformed(path: path)
        }
        var offset = Self.fileHeaderLength
        while offset < bytes.count {
            guard offset + Self.frameHeaderLength <= bytes.count else { throw Malformed(path: path) }
            let start = offset + Self.frameHeaderLength
            let end = start + Int(word(offset + 8))
            guard end <= bytes.count else { throw Malformed(path: path) }
            let time = UInt64(word(offset)) * 1_000_000 + UInt64(word(offset + 4))
            frames.append(CapturedFrame(time: time, bytes: Array(bytes[start..<end])))
            offset = end
        }
    }

    var bytes: [UInt8] {
        func little(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }
        var bytes = little(0xA1B2_C3D4) + [2, 0, 4, 0] + little(0) + little(0) + little(65_535) + little(1)
        for frame in frames {
            let length = little(UInt32(frame.bytes.count))
            bytes += little(UInt32(frame.time / 1_000_000)) + little(UInt32(frame.time % 1_000_000))
            bytes += length + length + frame.bytes
        }
        return bytes
    }

    func write(path: String) throws { try Data(bytes).write(to: URL(fileURLWithPath: path)) }
}
