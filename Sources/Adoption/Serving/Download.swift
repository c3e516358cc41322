internal import Crypto
import Glibc
internal import NIOCore

/// A file that is being sent.
struct Download {
    var file: NIOFileHandle
    var facts: DocumentResponse.Facts
    var response: DocumentResponse
    /// What has not been written yet.
    var rest: ArraySlice<DocumentResponse.Piece>

    /// Bytes of a file that are handed to the kernel at once. The next piece waits until these have gone, and between two
    /// of them the connection can go elsewhere.
    static var pieceBytes: Int { 256 << 10 }

    /// Leaves out the first bytes of the body, which have been written.
    mutating func skip(_ count: Int) {
        var left = count
        while left > 0, let piece = rest.popFirst() {
            guard piece.bytes > left else {
                left -= piece.bytes
                continue
            }
            switch piece {
            case .file(let range): rest = [.file(range.lowerBound + left..<range.upperBound)] + rest
            case .text(let text): rest = [.text(String(decoding: text.utf8.dropFirst(left), as: UTF8.self))] + rest
            }
            left = 0
        }
    }

    /// The next piece, nil at the end.
    mutating func take() -> DocumentResponse.Piece? {
        guard let piece = rest.popFirst() else { return nil }
        guard case .file(let range) = piece, range.count > Download.pieceBytes else { return piece }
        let end = range.lowerBound + Download.pieceBytes
        rest = [.file(end..<range.upperBound)] + rest
        return .file(range.lowerBound..<end)
    }
}

/// By which another host tells whether its copy of a document is the same: of what lies before the place where an answer
/// goes on.
struct DocumentDigest {
    static var longest: Int { 65_536 }
    /// SHA-256.
    let bytes: [UInt8]
    let count: Int

    /// nil when the file cannot be read so far.
    init?(of descriptor: CInt, before place: Int, count: Int = DocumentDigest.longest) {
        let count = min(count, place)
        guard count >= 0, count <= DocumentDigest.longest else { return nil }
        let read = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            initialized = max(0, pread(descriptor, buffer.baseAddress, count, place - count))
        }
        guard read.count == count else { return nil }
        self.count = count
        bytes = Array(SHA256.hash(data: read))
    }
}

extension DocumentResponse {
    /// Where in the file this answer's body goes on of which so many bytes have been written.
    func place(after count: Int) -> Int {
        var left = count
        var place = 0
        for piece in pieces {
            if case .file(let range) = piece {
                if left < range.count { return range.lowerBound + left }
                place = range.upperBound
            }
            left -= min(left, piece.bytes)
        }
        return place
    }
}
