import FirstFlight
import Testing
import Wire

@Suite struct QUICFirstFlightTests {
    private func read(_ datagrams: [[UInt8]]) -> [QUICFirstFlight.Reading] {
        var flight = QUICFirstFlight()
        return datagrams.map { datagram in datagram.withUnsafeBytes { flight.take($0) } }
    }

    private let example = Array("example.com".utf8)

    /// The appendices' hello offers ALPN `alpn`.
    @Test func theVectorsOfRFC9001AndRFC9369AreRead() {
        #expect(read([Datagrams.version1]) == [.named(example, .other)])
        #expect(read([Datagrams.version2]) == [.named(example, .other)])
    }

    @Test func aHelloInTwoDatagramsIsReadInEitherOrder() {
        let name = Array("pq.example.org".utf8)
        let (first, second) = (Datagrams.postQuantumFirst, Datagrams.postQuantumSecond)
        #expect(read([first, second]) == [.incomplete, .named(name, .http3)])
        #expect(read([second, first]) == [.incomplete, .named(name, .http3)])
        #expect(read([first, first, second]) == [.incomplete, .incomplete, .named(name, .http3)])
    }

    @Test func packetsThatShareADatagramAreAllRead() {
        let (first, second) = (Datagrams.postQuantumFirst, Datagrams.postQuantumSecond)
        #expect(read([first + second]) == [.named(Array("pq.example.org".utf8), .http3)])
        // What is behind the last Initial packet is another kind of packet.
        #expect(read([Datagrams.version1 + [0x40, 1, 2, 3]]) == [.named(example, .other)])
    }

    /// A bit of the tag, of the payload, of the number, of the token's length: nothing is read of such a packet.
    @Test(arguments: [1_199, 700, 18, 15]) func aGarbledPacketSaysNothing(_ place: Int) {
        var garbled = Datagrams.version1
        garbled[place] ^= 1
        #expect(read([garbled]) == [.incomplete])
        #expect(read([garbled, Datagrams.version1]) == [.incomplete, .named(example, .other)])
    }

    /// The identifier makes the keys, so another one opens nothing; two in one flight are not understood.
    @Test func anotherIdentifierIsAnotherConnection() {
        var other = Datagrams.version1
        other[6] ^= 1
        #expect(read([other]) == [.incomplete])
        #expect(read([other, Datagrams.version1]) == [.incomplete, .unsuitable(.malformed)])
        #expect(read([Datagrams.postQuantumFirst, Datagrams.version2]) == [.incomplete, .unsuitable(.malformed)])
    }

    @Test func aFlightHasABound() {
        let readings = read(Array(repeating: Datagrams.postQuantumFirst, count: QUICFirstFlight.maximumDatagrams + 1))
        #expect(readings.dropLast().allSatisfy { $0 == .incomplete })
        #expect(readings.last == .unsuitable(.tooLong))
    }

    @Test func everyPrefixOfADatagramIsReadWithoutHarm() {
        for count in 0..<Datagrams.version1.count {
            #expect(read([Array(Datagrams.version1[..<count])]) == [.incomplete])
        }
    }
}
