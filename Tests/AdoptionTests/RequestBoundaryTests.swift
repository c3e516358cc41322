import Adoption
import NIOCore
import NIOEmbedded
import Testing

/// Between two requests is where nothing of the second has come, and nothing that could be of it.
@Suite struct RequestBoundaryTests {
    private let boundary = RequestBoundary()
    private let channel = EmbeddedChannel()

    init() throws { try channel.pipeline.syncOperations.addHandler(boundary) }

    private func come(_ text: String) throws { try channel.writeInbound(ByteBuffer(string: text)) }

    @Test func aRequestAfterTheOther() throws {
        #expect(boundary.isBetweenRequests)
        for _ in 0..<3 {
            try come("GET / HTTP/1.1\r\nHo")
            #expect(!boundary.isBetweenRequests)
            try come("st: a\r\n\r\n")
            #expect(boundary.bytes == ByteBuffer(string: "GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
            boundary.headIsRead()
            #expect(!boundary.isBetweenRequests)
            boundary.responseIsSent()
            #expect(boundary.isBetweenRequests)
        }
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\n\r\nGET", "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", "POST / HTTP/1.1\r\n\r\nbody",
        "GET / HTTP/1.1\n\n", "GET / HTTP/1.1\r\n\r\n\r\n",
    ]) func moreThanOneHeadIsForGood(_ text: String) throws {
        try come(text)
        boundary.headIsRead()
        boundary.responseIsSent()
        #expect(!boundary.isBetweenRequests && boundary.isLost)
        try come("GET / HTTP/1.1\r\n\r\n")
        boundary.headIsRead()
        boundary.responseIsSent()
        #expect(!boundary.isBetweenRequests)
    }

    @Test func aClientThatDoesNotWait() throws {
        try come("GET / HTTP/1.1\r\n\r\n")
        boundary.headIsRead()
        try come("G")
        boundary.responseIsSent()
        #expect(!boundary.isBetweenRequests)
    }

    @Test func whatAnotherProcessHasAnswered() throws {
        let boundary = RequestBoundary(lastRequest: Array("GET /a HTTP/1.1\r\n\r\n".utf8))
        #expect(boundary.isBetweenRequests && boundary.lastHead == Array("GET /a HTTP/1.1\r\n\r\n".utf8))
    }

    @Test(arguments: [
        (200, "GET / HTTP/1.1\r\nCookie: 12345678\r\nHost: a\r\nA: b\r\n\r\n"),
        (50, "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n"), (33, "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n"),
        (32, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), (27, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), (26, nil),
    ]) func aShorterHeadAsksForTheSame(limit: Int, expected: String?) {
        let head = "GET / HTTP/1.1\r\nCookie: 12345678\r\nHost: a\r\nA: b\r\n\r\n"
        let short = shortened(Array(head.utf8), to: limit)
        #expect(short.map { String(decoding: $0, as: UTF8.self) } == expected)
    }
}
