import Testing
import Wire

@Suite struct TLSClientHelloTests {
    @Test func nameAndProtocolsAreFound() {
        let hello = HelloBuilder().records()
        #expect(
            reading(hello)
                == Reading(
                    application: .tls, headLength: hello.count, host: "www.example.com", path: "",
                    hasCredentials: false, alpn: [.http2, .http11]))
        #expect(staysIncomplete(hello) == nil)
        #expect(staysIncomplete(hello, .tls) == nil)
    }

    @Test func protocolsAreTold() {
        #expect(reading(HelloBuilder(alpn: nil).records())?.alpn == [])
        #expect(reading(HelloBuilder(alpn: ["http/1.1"]).records())?.alpn == .http11)
        #expect(reading(HelloBuilder(alpn: ["h2"]).records())?.alpn == .http2)
        #expect(reading(HelloBuilder(alpn: ["h4", "http/1.0", "http/1.12", "x"]).records())?.alpn == .other)
        #expect(reading(HelloBuilder(alpn: ["h3"]).records())?.alpn == .http3)
    }

    @Test func anyCutIntoTwoRecordsReadsTheSame() {
        let builder = HelloBuilder()
        let name = Array("www.example.com".utf8)
        let nameStart = builder.message.indices.first { builder.message[$0...].starts(with: name) }!
        for cut in 1..<builder.message.count {
            let hello = builder.records(cuts: [cut])
            if cut > nameStart && cut < nameStart + name.count {
                #expect(recognise(hello) == .unsuitable(.malformed))
                continue
            }
            #expect(reading(hello)?.host == "www.example.com")
            #expect(reading(hello)?.alpn == [.http2, .http11])
            #expect(reading(hello)?.headLength == hello.count)
            #expect(staysIncomplete(hello) == nil)
        }
    }

    @Test func whatWaitsForTheOrigin() {
        func with(_ type: UInt16, _ body: [UInt8] = []) -> [UInt8] {
            var builder = HelloBuilder()
            builder.extra.append((type, body))
            return builder.records()
        }
        #expect(recognise(with(42)) == .unsuitable(.earlyData))
        #expect(recognise(with(0xFE0D, [0, 0, 1, 0, 1, 9])) == .unsuitable(.encryptedClientHello))
        #expect(recognise(with(0xFFCE, [1])) == .unsuitable(.encryptedClientHello))
        #expect(recognise(HelloBuilder(serverName: nil).records()) == .unsuitable(.noServerName))
        #expect(recognise(with(0, HelloBuilder.nameBody([0x61]))) == .unsuitable(.malformed))
        #expect(recognise(with(16, [0, 2, 1, 0x61])) == .unsuitable(.malformed))
        for name in ["a.", ".a", "a..b", "a b", "a\u{0}", "é", "a/b", "a:1"] {
            #expect(recognise(HelloBuilder(serverName: name).records()) == .unsuitable(.malformed), "\(name)")
        }
        #expect(recognise(HelloBuilder(version: 0x0300).records()) == .unsuitable(.malformed))
        #expect(recognise(HelloBuilder(version: 0x0304).records()) == .unsuitable(.malformed))
        #expect(recognise(HelloBuilder(sessionLength: 33).records()) == .unsuitable(.malformed))
        #expect(recognise(HelloBuilder(suites: [0x13]).records()) == .unsuitable(.malformed))
        #expect(recognise(HelloBuilder(suites: []).records()) == .unsuitable(.malformed))
        #expect(recognise([22, 3, 3, 0, 0]) == .unsuitable(.malformed))
        #expect(recognise([22, 3, 4]) == .unsuitable(.malformed))
        #expect(recognise([22, 3, 1, 0x40, 1]) == .unsuitable(.malformed))
        #expect(recognise([22, 3, 1, 0, 4, 2]) == .unsuitable(.malformed))
        #expect(recognise([22, 3, 1, 0x40, 0, 1, 0, 0x40, 0]) == .unsuitable(.tooLong))
        #expect(recognise(HelloBuilder().records(), .httpGet) == .unsuitable(.unknownProtocol))
    }

    @Test func aSecondMessageInTheRecordIsRefused() {
        let message = HelloBuilder().message + [20, 0, 0, 0]
        let record = [22, 3, 1] + HelloBuilder.be16(message.count) + message
        #expect(recognise(record) == .unsuitable(.malformed))
    }

    @Test func everyChangedByteKeepsOneVerdict() {
        let hello = HelloBuilder().records()
        for index in hello.indices {
            for value in [UInt8(0), 1, 0x7F, 0xFF, hello[index] &+ 1] {
                var changed = hello
                changed[index] = value
                var verdict = Recognition.incomplete
                for count in 0...changed.count {
                    let now = recognise(Array(changed[..<count]), .tls)
                    #expect(verdict == .incomplete || now == verdict)
                    verdict = now
                }
            }
        }
    }
}

@Suite struct SMTPGreetingTests {
    @Test(arguments: ["EHLO mail.example.com\r\n", "helo [192.0.2.1]\r\n", "EhLo [IPv6:2001:db8::1]\r\n"])
    func isRead(_ line: String) {
        let bytes = Array(line.utf8)
        let expected = String(line.dropFirst(5).dropLast(1))
        #expect(reading(bytes)?.host == expected)
        #expect(reading(bytes)?.application == .smtp)
        #expect(reading(bytes)?.headLength == bytes.count)
        #expect(staysIncomplete(bytes) == nil)
        #expect(staysIncomplete(bytes, .smtp) == nil)
    }

    @Test func whatGoesToTheOrigin() {
        let cases: [(String, Unsuitability)] = [
            ("EHLO\r\n", .unknownProtocol), ("EHLO \r\n", .malformed), ("EHLO  a\r\n", .malformed),
            ("EHLO a \r\n", .malformed), ("EHLO a b\r\n", .malformed), ("EHLO a\n", .bareLineFeed),
            ("EHLO a\r\r", .malformed), ("EHLO \u{0}", .malformed), ("EHLX", .unknownProtocol),
            ("HEXO", .unknownProtocol), ("LHLO a\r\n", .unknownProtocol), ("MAIL FROM:<a@b>\r\n", .unknownProtocol),
            ("EHLO " + String(repeating: "a", count: 506) + "\r\n", .tooLong),
        ]
        for (line, reason) in cases { #expect(recognise(line, .smtp) == .unsuitable(reason), "\(line)") }
        let longest = "EHLO " + String(repeating: "a", count: 505) + "\r\n"
        #expect(reading(Array(longest.utf8), .smtp)?.headLength == 512)
    }

    /// Both may be wanted on one port: HEAD and HELO share two letters.
    @Test func mailAndWebTogether() {
        #expect(recognise("HE", [.smtp, .httpGet]) == .incomplete)
        #expect(recognise("HEA", [.smtp, .httpGet]) == .incomplete)
        #expect(recognise("HEL", [.smtp, .httpGet]) == .incomplete)
        #expect(recognise("HEX", [.smtp, .httpGet]) == .unsuitable(.unknownProtocol))
        #expect(recognise("he", [.smtp, .httpGet]) == .incomplete)
        #expect(recognise("EHLO a\n", [.smtp, .httpOther]) == .unsuitable(.bareLineFeed))
    }
}
