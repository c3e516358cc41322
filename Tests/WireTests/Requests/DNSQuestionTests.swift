import Testing
import Wire

/// Builds queries to order.
struct QueryBuilder {
    var flags: UInt16 = 0x0100
    var counts: [UInt16] = [1, 0, 0, 0]
    var labels: [String] = ["WWW", "example", "org"]
    var type: UInt16 = 1
    var family: UInt16 = 1
    var tail: [UInt8] = []

    static func be16(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xFF)] }
    static let edns: [UInt8] = [0, 0, 41, 0x04, 0xD0, 0, 0, 0, 0, 0, 4, 0, 10, 0, 0]

    var name: [UInt8] { labels.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0] }

    var bytes: [UInt8] {
        [0x12, 0x34] + Self.be16(flags) + counts.flatMap(Self.be16) + name + Self.be16(type) + Self.be16(family) + tail
    }
}

private func question(_ bytes: [UInt8]) -> DNSQuestion? { bytes.withUnsafeBytes { DNSQuestion($0) } }

@Suite struct DNSQuestionTests {
    @Test func theNameIsRead() {
        let read = question(QueryBuilder().bytes)
        #expect(read?.name == Array("www.example.org".utf8))
        #expect(read?.type == 1)
        #expect(question(QueryBuilder(counts: [1, 0, 0, 1], type: 28, tail: QueryBuilder.edns).bytes)?.type == 28)
        #expect(question(QueryBuilder(labels: ["_dns", "a-b"]).bytes)?.name == Array("_dns.a-b".utf8))
    }

    @Test(arguments: [
        ("an answer", QueryBuilder(flags: 0x8180)),
        ("another kind of query", QueryBuilder(flags: 0x2900)),
        ("cut off", QueryBuilder(flags: 0x0300)),
        ("two questions", QueryBuilder(counts: [2, 0, 0, 0])),
        ("none", QueryBuilder(counts: [0, 0, 0, 0])),
        ("answers", QueryBuilder(counts: [1, 1, 0, 0])),
        ("authorities", QueryBuilder(counts: [1, 0, 1, 0])),
        ("two additional records", QueryBuilder(counts: [1, 0, 0, 2], tail: QueryBuilder.edns + QueryBuilder.edns)),
        ("a record that was not announced", QueryBuilder(tail: QueryBuilder.edns)),
        ("one that is missing", QueryBuilder(counts: [1, 0, 0, 1])),
        ("a signature", QueryBuilder(counts: [1, 0, 0, 1], tail: [0, 0, 250] + QueryBuilder.edns.dropFirst(3))),
        ("an OPT record that is cut", QueryBuilder(counts: [1, 0, 0, 1], tail: QueryBuilder.edns.dropLast())),
        ("the root", QueryBuilder(labels: [])),
        ("a dot in a label", QueryBuilder(labels: ["www.example", "org"])),
        ("no host name", QueryBuilder(labels: ["www", "exa mple"])),
        ("a transfer of a zone", QueryBuilder(type: 252)),
        ("another class", QueryBuilder(family: 3)),
        ("a label of 64 bytes", QueryBuilder(labels: [String(repeating: "a", count: 64)])),
        ("a name of 256 bytes", QueryBuilder(labels: Array(repeating: String(repeating: "a", count: 63), count: 4))),
    ]) func whatWaitsForTheOrigin(_ what: String, _ query: QueryBuilder) {
        #expect(question(query.bytes) == nil, "\(what)")
    }

    @Test func compressionIsRefused() {
        var bytes = QueryBuilder(labels: ["www"]).bytes
        bytes.replaceSubrange(16..<17, with: [0xC0, 12])
        #expect(question(bytes) == nil)
    }

    @Test func noPrefixIsAQuestion() {
        let whole = QueryBuilder().bytes
        for count in whole.indices { #expect(question(Array(whole[..<count])) == nil) }
    }

    @Test func queriesForOneNameAreTold() {
        func same(_ left: QueryBuilder, _ right: QueryBuilder) -> Bool {
            left.bytes.withUnsafeBytes { left in right.bytes.withUnsafeBytes { DNSQuestion.haveSameName(left, $0) } }
        }
        #expect(same(QueryBuilder(), QueryBuilder(type: 28)))
        #expect(!same(QueryBuilder(), QueryBuilder(labels: ["ww2", "example", "org"])))
        #expect(!same(QueryBuilder(), QueryBuilder(labels: ["www", "example"])))
    }
}
