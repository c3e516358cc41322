import Testing
import Wire

@Suite struct HTTPRequestTests {
    static let plain = "GET /a/b?c=d HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n"

    @Test func aPlainGet() {
        #expect(
            reading(Array(Self.plain.utf8))
                == Reading(
                    application: .httpGet, headLength: Self.plain.utf8.count, host: "www.example.com", path: "/a/b?c=d",
                    hasCredentials: false, alpn: []))
    }

    static let good: [(String, Application, host: String, path: String, credentials: Bool)] = [
        (plain, .httpGet, "www.example.com", "/a/b?c=d", false),
        ("HEAD / HTTP/1.0\r\nhost:h\r\n\r\n", .httpGet, "h", "/", false),
        ("GET / HTTP/1.1\r\nHost:\t h:8080 \t\r\n\r\n", .httpGet, "h", "/", false),
        ("GET / HTTP/1.1\r\nHOST: [2001:db8::1]:80\r\n\r\n", .httpGet, "[2001:db8::1]", "/", false),
        ("GET http://H.example/x HTTP/1.1\r\nHost: h.Example\r\n\r\n", .httpGet, "h.Example", "/x", false),
        ("GET HTTP://h:80/x HTTP/1.1\r\nHost: h\r\n\r\n", .httpGet, "h", "/x", false),
        ("GET / HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\n\r\n", .httpGet, "h", "/", true),
        ("GET / HTTP/1.1\r\nAUTHORIZATION: x\r\nHost: h\r\n\r\n", .httpGet, "h", "/", true),
        ("GET / HTTP/1.1\r\nHost: h\r\nX-Empty:\r\nX: \u{e9}\r\n\r\n", .httpGet, "h", "/", false),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: Keep-Alive, TE\r\nTE: trailers\r\n\r\n", .httpGet, "h", "/", false),
        ("POST /f HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\n\r\n", .httpOther, "h", "/f", false),
        ("POST /f HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n", .httpOther, "h", "/f", false),
        ("M-SEARCH /f HTTP/1.1\r\nHost: h\r\n\r\n", .httpOther, "h", "/f", false),
        ("HEADER /f HTTP/1.1\r\nHost: h\r\n\r\n", .httpOther, "h", "/f", false),
    ]

    @Test(arguments: good.indices) func isRead(_ index: Int) {
        let (text, application, host, path, credentials) = Self.good[index]
        let bytes = Array(text.utf8)
        #expect(
            reading(bytes)
                == Reading(
                    application: application, headLength: bytes.count, host: host, path: path,
                    hasCredentials: credentials, alpn: []))
        #expect(staysIncomplete(bytes) == nil)
        #expect(staysIncomplete(bytes, application) == nil)
        #expect(recognise(bytes, [.tls, .smtp]) != recognise(bytes))
    }

    /// `H` is a whole request with `Host: h` and without the last line; `|` marks the last byte that may wait.
    static let bad: [(String, Unsuitability)] = [
        // line ends
        ("GET / HTTP/1.1\nHost: h\r\n\r\n", .bareLineFeed),
        ("GET / HTTP/1.1\r\nHost: h\n\r\n", .bareLineFeed),
        ("GET / HTTP/1.1\r\nHost: h\r\n\n", .bareLineFeed),
        ("GET /\n HTTP/1.1\r\nHost: h\r\n\r\n", .bareLineFeed),
        ("GET / HTTP/1.1\r\nHost: h\r\nX\n\r\n", .bareLineFeed),
        ("GET / HTTP/1.1\rX", .malformed),
        ("GET / HTTP/1.1\r\nHost: h\r\rX", .malformed),
        ("GET / HTTP/1.1\r\nHost: h\r\nA: b\rC: d\r\n\r\n", .malformed),
        // white space
        ("GET / HTTP/1.1\r\nHost: h\r\n  folded\r\n\r\n", .obsoleteFold),
        ("GET / HTTP/1.1\r\nHost: h\r\n\tfolded\r\n\r\n", .obsoleteFold),
        ("GET / HTTP/1.1\r\n Host: h\r\n\r\n", .obsoleteFold),
        ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", .malformed),
        ("GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", .unknownProtocol),
        ("GET /  HTTP/1.1\r\nHost: h\r\n\r\n", .malformed),
        ("GET / HTTP/1.1 \r\nHost: h\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost\t: h\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n", .malformed),
        ("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", .unknownProtocol),
        (" GET / HTTP/1.1\r\nHost: h\r\n\r\n", .unknownProtocol),
        // characters
        ("GET /\u{0} HTTP/1.1\r\nHost: h\r\n\r\n", .malformed),
        ("GET /\u{7f} HTTP/1.1\r\nHost: h\r\n\r\n", .malformed),
        ("GET /\u{e9} HTTP/1.1\r\nHost: h\r\n\r\n", .malformed),
        ("GET /#f HTTP/1.1\r\nHost: h\r\n\r\n", .malformed),
        ("GET /a\\b HTTP/1.1\r\nHost: h\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: \u{0}\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: \u{b}\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: h\r\nX\u{0}: a\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: h\r\n: a\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: h\r\n\"X\": a\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: h\r\nX(y): a\r\n\r\n", .malformed),
        // request line
        ("get / HTTP/1.1\r\nHost: h\r\n\r\n", .unknownProtocol),
        ("G=T / HTTP/1.1\r\nHost: h\r\n\r\n", .unknownProtocol),
        ("GET index.html HTTP/1.1\r\nHost: h\r\n\r\n", .malformed),
        ("GET //h/x HTTP/1.1\r\nHost: h\r\n\r\n", .malformed),
        ("GET * HTTP/1.1\r\nHost: h\r\n\r\n", .malformed),
        ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", .malformed),
        ("GET ?x HTTP/1.1\r\nHost: h\r\n\r\n", .malformed),
        ("GET /\r\n", .malformed),
        ("GET / \r\n", .malformed),
        ("GET / HTTP/0.9\r\nHost: h\r\n\r\n", .malformed),
        ("GET / HTTP/1.2\r\nHost: h\r\n\r\n", .malformed),
        ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", .malformed),
        ("GET / HTTP/1.10\r\nHost: h\r\n\r\n", .malformed),
        ("GET / HTTP/1.\r\nHost: h\r\n\r\n", .malformed),
        ("GET / http/1.1\r\nHost: h\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\n\r\n", .hostMissing),
        ("GET / HTTP/1.0\r\n\r\n", .hostMissing),
        // absolute form
        ("GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n", .authorityMismatch),
        ("GET http://h:81/ HTTP/1.1\r\nHost: h\r\n\r\n", .authorityMismatch),
        ("GET http://h:81/ HTTP/1.1\r\nHost: h:82\r\n\r\n", .authorityMismatch),
        ("GET http://h/ HTTP/1.1\r\n\r\n", .hostMissing),
        ("GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n", .malformed),
        ("GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", .malformed),
        ("GET http://h?x HTTP/1.1\r\nHost: h\r\n\r\n", .malformed),
        ("GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n", .malformed),
        ("GET https://h/ HTTP/1.1\r\nHost: h\r\n\r\n", .malformed),
        ("GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", .malformed),
        // Host
        ("GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", .hostRepeated),
        ("GET / HTTP/1.1\r\nHost: h\r\nhost: i\r\n\r\n", .hostRepeated),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", .hostMissing),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: a%2eb\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: a:\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: []\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: \u{e9}\r\n\r\n", .malformed),
        // bodies
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", .framedBody),
        ("HEAD / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n", .framedBody),
        ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", .framedBody),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", .framedBody),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", .framedBody),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", .framedBody),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\n", .framedBody),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\n", .framedBody),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -5\r\n\r\n", .framedBody),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x5\r\n\r\n", .framedBody),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5 6\r\n\r\n", .framedBody),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n", .framedBody),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", .framedBody),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", .framedBody),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", .framedBody),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n", .framedBody),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", .framedBody),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", .framedBody),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\u{b}chunked\r\n\r\n", .malformed),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n", .framedBody),
        ("POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", .framedBody),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer_Encoding: chunked\r\n\r\n", .malformed),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent_Length: 5\r\n\r\n", .malformed),
        // what needs the origin
        ("GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n", .expectation),
        ("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\n\r\n", .upgrade),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n\r\n", .upgrade),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: close, host\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: content-length\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: h\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", .upgrade),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .http2Preface),
        ("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", .connectMethod),
        ("SSH-2.0-OpenSSH_9\r\n", .unknownProtocol),
        ("\u{0}", .unknownProtocol),
        ("METHODTHATISLONGERTHANANYREGISTERED", .unknownProtocol),
    ]

    @Test(arguments: bad.indices) func goesToTheOrigin(_ index: Int) {
        let (text, reason) = Self.bad[index]
        let bytes = Array(text.utf8)
        #expect(recognise(bytes, [.httpGet, .httpOther]) == .unsuitable(reason), "\(text)")
        #expect(recognise(bytes) == .unsuitable(reason), "\(text)")
        #expect(verdictIsFinal(bytes))
    }

    /// Once a prefix has decided, every longer one says the same.
    func verdictIsFinal(_ bytes: [UInt8]) -> Bool {
        var verdict = Recognition.incomplete
        for count in 0...bytes.count {
            let now = recognise(Array(bytes[..<count]), [.httpGet, .httpOther])
            if verdict != .incomplete && now != verdict { return false }
            verdict = now
        }
        return true
    }

    @Test func bytesThatCannotMatchDecideAtOnce() {
        for first in UInt8.min...UInt8.max {
            let get = recognise([first], .httpGet)
            #expect((get == .incomplete) == (first == 0x47 || first == 0x48))
            let any = recognise([first], [.httpGet, .httpOther])
            #expect((any == .incomplete) == (first == 0x2D || (0x41...0x5A).contains(first)))
            #expect((recognise([first], .tls) == .incomplete) == (first == 22))
            let mail: [UInt8] = Array("EHeh".utf8)
            #expect((recognise([first], .smtp) == .incomplete) == mail.contains(first))
        }
        #expect(recognise("POST ", .httpGet) == .unsuitable(.unknownProtocol))
        #expect(recognise("P", .httpGet) == .unsuitable(.unknownProtocol))
        #expect(recognise("GEX", .httpGet) == .unsuitable(.unknownProtocol))
        #expect(recognise("GET ", .httpOther) == .unsuitable(.unknownProtocol))
        #expect(recognise("PRI * HTTP/2.0\r\n", .httpGet) == .unsuitable(.http2Preface))
        #expect(recognise("CONNECT h", .httpGet) == .unsuitable(.connectMethod))
        #expect(recognise([], []) == .unsuitable(.unknownProtocol))
        #expect(recognise([], .httpGet) == .incomplete)
    }

    @Test func everyTokenCharacterIsTakenAndNoOther() {
        let token = Set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
        for byte in UInt8.min...UInt8.max where byte != 0x3A {
            let head = Array("GET / HTTP/1.1\r\nHost: h\r\nA".utf8) + [byte] + Array(": b\r\n\r\n".utf8)
            #expect((reading(head) != nil) == token.contains(byte), "\(byte)")
        }
    }

    @Test func everyBitFlippedIsStillOneVerdict() {
        let bytes = Array(Self.plain.utf8)
        for index in bytes.indices {
            for bit in 0..<8 {
                var changed = bytes
                changed[index] ^= 1 << UInt8(bit)
                #expect(verdictIsFinal(changed))
            }
        }
    }

    @Test func longHeadsGoToTheOrigin() {
        let start = "GET / HTTP/1.1\r\nHost: h\r\nX: "
        let room = 65_536 - start.utf8.count - 4
        #expect(reading(Array((start + String(repeating: "x", count: room) + "\r\n\r\n").utf8))?.headLength == 65_536)
        #expect(recognise(start + String(repeating: "x", count: room + 1) + "\r\n\r\n") == .unsuitable(.tooLong))
        #expect(recognise(start + String(repeating: "x", count: 65_536)) == .unsuitable(.tooLong))
    }
}
