import Datagrams
import Testing
import Wire

/// Two endpoints on one wire, and a stranger's frames.
@Suite struct EthernetEndpointTests {
    static let families = ["10.0.0.", "2001:db8::"]

    private func endpoint(_ family: String, _ number: UInt64, vlan: VLAN = .untagged) -> EthernetEndpoint {
        EthernetEndpoint(
            Endpoint(IPAddress("\(family)\(number)")!, port: 7_443), mac: MACAddress(0x0200_0000_0000 | number),
            vlan: vlan)
    }

    private func deliver(
        _ frames: [[UInt8]], to endpoint: inout EthernetEndpoint, now: UInt64 = 0
    ) -> [(datagram: [UInt8], from: Endpoint)] {
        frames.compactMap { frame in frame.withUnsafeBytes { endpoint.receive($0, now: now) } }
    }

    private func destination(_ frame: [UInt8]) -> MACAddress { frame.withUnsafeBytes { $0.baseAddress!.wireMAC(0) } }

    @Test(arguments: families, [.untagged, VLAN(7)] as [VLAN])
    func twoFindEachOther(family: String, vlan: VLAN) {
        var (one, other) = (endpoint(family, 1, vlan: vlan), endpoint(family, 2, vlan: vlan))
        one.send([1, 2, 3], to: other.address, now: 0)
        let question = one.takeFrames()
        #expect(question.count == 1 && destination(question[0]).isGroup)
        #expect(deliver(question, to: &other).isEmpty)
        let answer = other.takeFrames()
        #expect(answer.map(destination) == [one.mac])
        #expect(deliver(answer, to: &one).isEmpty)
        // What waited goes now.
        let waited = one.takeFrames()
        #expect(waited.map(destination) == [other.mac] && waited.allSatisfy { $0.count >= 60 })
        let got = deliver(waited, to: &other)
        #expect(got.map(\.datagram) == [[1, 2, 3]] && got.map(\.from) == [one.address])
        // The other way: it has to ask for itself, once.
        other.send([], to: one.address, now: 1)
        other.send([9], to: one.address, now: 2)
        #expect(deliver(other.takeFrames(), to: &one).isEmpty)
        #expect(deliver(one.takeFrames(), to: &other).isEmpty)
        #expect(deliver(other.takeFrames(), to: &one).map(\.datagram) == [[9]], "the newest is worth most")
        for byte in 10..<20 as Range<UInt8> { other.send([byte], to: one.address, now: 3) }
        #expect(deliver(other.takeFrames(), to: &one).map(\.datagram) == (10..<20).map { [$0] })
    }

    @Test(arguments: families) func anAddressIsConfirmedInTimeAndGivenUpWhenNobodyConfirmsIt(family: String) {
        var (one, other) = (endpoint(family, 1), endpoint(family, 2))
        one.send([1], to: other.address, now: 0)
        _ = deliver(one.takeFrames(), to: &other)
        _ = deliver(other.takeFrames(), to: &one)
        #expect(one.takeFrames().count == 1)
        // Fresh: no question.
        one.send([1], to: other.address, now: 29_000_000)
        #expect(one.takeFrames().map(destination) == [other.mac])
        // Old: it is used still, and asked for, once a second.
        one.send([1], to: other.address, now: 30_000_000)
        one.send([1], to: other.address, now: 30_500_000)
        #expect(one.takeFrames().map { destination($0).isGroup } == [true, false, false])
        one.send([1], to: other.address, now: 31_000_000)
        #expect(one.takeFrames().map { destination($0).isGroup } == [true, false])
        // Its card was changed.
        other = EthernetEndpoint(other.address, mac: MACAddress(0x0200_0000_0099))
        one.send([1], to: other.address, now: 32_000_000)
        _ = deliver(one.takeFrames(), to: &other)
        _ = deliver(other.takeFrames(), to: &one, now: 32_000_000)
        one.send([1], to: other.address, now: 32_000_001)
        #expect(one.takeFrames().map(destination) == [other.mac])
        // Nobody answers any more.
        one.send([1], to: other.address, now: 80_000_000)
        #expect(one.takeFrames().map { destination($0).isGroup } == [true], "a question alone")
    }

    @Test(arguments: families) func aGroupNeedsNoQuestion(family: String) {
        var one = endpoint(family, 1)
        let isV4 = family == Self.families[0]
        one.send([1], to: Endpoint(IPAddress(isV4 ? "239.129.2.3" : "ff15::1:2:3")!, port: 7), now: 0)
        let frames = one.takeFrames()
        #expect(frames.map(destination) == [MACAddress(isV4 ? 0x0100_5E01_0203 : 0x3333_0002_0003)])
        // One hop.
        #expect(frames[0][isV4 ? 22 : 21] == 1)
    }

    @Test(arguments: families) func whatIsNotItsOwnOrNotWholeIsNotTaken(family: String) {
        var (one, other) = (endpoint(family, 1), endpoint(family, 2))
        let sender = Endpoint(IPAddress("\(family)9")!, port: 9)
        let isV4 = family == Self.families[0]
        func frame(to endpoint: Endpoint, vlan: VLAN = .untagged) -> [UInt8] {
            UDPFrame.bytes(
                [5, 6, 7, 8], from: sender, at: MACAddress(9), to: endpoint, at: one.mac, vlan: vlan)
        }
        let good = frame(to: one.address)
        #expect(deliver([good], to: &one).map(\.from) == [sender])
        #expect(deliver([frame(to: other.address)], to: &one).isEmpty)
        #expect(deliver([frame(to: Endpoint(one.address.address, port: 1))], to: &one).isEmpty)
        #expect(deliver([frame(to: one.address, vlan: VLAN(7))], to: &one).isEmpty)
        let network = isV4 ? 20 : 40
        for offset in 14 + network..<14 + network + 12 {
            var spoilt = good
            spoilt[offset] ^= 0x41
            #expect(deliver([spoilt], to: &one).isEmpty, "\(offset)")
        }
        for length in 0..<good.count where length < 14 + network + 12 {
            #expect(deliver([Array(good[..<length])], to: &one).isEmpty)
        }
        // A question for somebody else is not answered; one with a wrong checksum or cut neither.
        other.send([1], to: sender, now: 0)
        #expect(deliver(other.takeFrames(), to: &one).isEmpty && one.takeFrames().isEmpty)
        other.send([1], to: one.address, now: 0)
        let question = other.takeFrames()[0]
        for length in 0..<(isV4 ? 42 : 86) { _ = deliver([Array(question[..<length])], to: &one) }
        if !isV4 {
            for offset in 22..<86 {
                var spoilt = question
                spoilt[offset] ^= 0x41
                _ = deliver([spoilt], to: &one)
            }
        }
        #expect(one.takeFrames().isEmpty)
        _ = deliver([question], to: &one)
        #expect(one.takeFrames().count == 1)
    }

    /// Questions prove nothing: a flood of them must not take the place of what has to be sent.
    @Test func questionsAreAnsweredUpToABound() {
        var (one, other) = (endpoint(Self.families[0], 1), endpoint(Self.families[0], 2))
        other.send([1], to: one.address, now: 0)
        let question = other.takeFrames()
        for _ in 0..<100 { _ = deliver(question, to: &one) }
        #expect(one.takeFrames().count == 16)
        _ = deliver(question, to: &one)
        #expect(one.takeFrames().count == 1)
    }

    @Test func whatCannotBeSentIsCounted() {
        var one = endpoint(Self.families[0], 1)
        one.send([1], to: endpoint(Self.families[1], 2).address, now: 0)
        one.send([UInt8](repeating: 1, count: 1_473), to: endpoint(Self.families[0], 2).address, now: 0)
        #expect(one.unsendable == 2 && one.takeFrames().isEmpty)
        for number in 0..<5_000 as Range<UInt32> {
            one.send([1], to: Endpoint(IPAddress(v4: 0x0A01_0000 + number), port: 7), now: 0)
        }
        #expect(one.unsendable == 2 + 5_000 - 4_096)
    }
}
