import Testing
import Wire

/// Where an answer ends, however it comes in segments.
@Suite struct ResponseFollowerTests {
    private func read(_ segments: [[UInt8]], toHEAD: Bool = false) -> (ResponseFollower.Step, at: Int) {
        var follower = ResponseFollower(toHEAD: toHEAD)
        var read = 0
        for segment in segments {
            let step = segment.withUnsafeBytes { follower.read($0) }
            switch step {
            case .goesOn: read += segment.count
            case .ends(let length): return (step, read + Int(length))
            case .unclear: return (step, read)
            }
        }
        return (.goesOn, read)
    }

    static let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding:\tChunked \r\nX: \u{e9}\r\n\r\n"
    static let body = "4\r\nWiki\r\n00A\r\n0123456789\r\nb\r\nabcdefghijk\r\n0\r\n\r\n"

    /// The body cut at any two places ends where it ends.
    @Test func chunksEndWhereTheyEnd() {
        let (head, body) = (Array(Self.chunked.utf8), Array(Self.body.utf8))
        for first in 0...body.count {
            for second in first...body.count {
                let segments = [head + body[..<first], Array(body[first..<second]), Array(body[second...])]
                let (step, end) = read(segments.filter { !$0.isEmpty })
                guard case .ends = step, end == head.count + body.count else {
                    Issue.record("cut at \(first) and \(second): \(step) at \(end)")
                    return
                }
            }
        }
    }

    @Test(arguments: [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", 1_073_741_824),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n\r\n", 0), ("HTTP/1.1 204 \r\n\r\n", 0),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 0),
        ("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 500 no\r\ncontent-length:7\r\n\r\n", 7),
    ])
    func lengthsAreCountedFromTheHeadsEnd(text: String, body: Int) {
        let (step, end) = read([Array(text.utf8)])
        #expect(step == .ends(after: UInt32(end)) && end == text.utf8.count + body)
    }

    /// 4 GiB are not no bytes.
    @Test(arguments: ["100000000", "10000000000000000", "400000000", "40000001", "80000000"])
    func sizesThatNobodyCanFollowAreUnclear(size: String) {
        #expect(read([Array("\(Self.chunked)\(size)\r\n\r\n".utf8)]).0 == .unclear)
    }

    @Test func theLargestChunkIsFollowed() {
        #expect(read([Array("\(Self.chunked)000000000040000000\r\n\r\n".utf8)]).0 == .goesOn)
    }

    @Test func headHasNoBody() {
        for fields in ["Content-Length: 7\r\n", "Transfer-Encoding: chunked\r\n", ""] {
            let text = Array("HTTP/1.1 200 OK\r\n\(fields)\r\n".utf8)
            #expect(read([text], toHEAD: true) == (.ends(after: UInt32(text.count)), text.count))
        }
    }

    @Test(arguments: [
        "", "H", "HTTP/1.1", "HTTP/1.1 20x OK\r\n\r\n", "HTTP/1.1 99 OK\r\n\r\n", "HTTP/1.1 600 OK\r\n\r\n",
        "HTTP/1.1 200 OK\n\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\n\r\n", "HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1,1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1073741825\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent_Length: 1\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive, close\r\n\r\n",
        "HTTP/1.1 204 No\r\nContent-Length: 1\r\n\r\n", "HTTP/1.1 100 C\r\nContent-Length: 1\r\n\r\n",
        chunked + "\r\n", chunked + "g\r\n", chunked + "1\r\nab", chunked + "1\na", chunked + "40000001\r\n",
        chunked + "0\r\nX: y\r\n\r\n", chunked + "1 \r\na", chunked + "1\r\na\n", chunked + "fffffffff\r\n",
    ])
    func whateverCouldEndElsewhereIsUnclear(text: String) {
        #expect(read([Array(text.utf8)]).0 == .unclear)
    }
}
