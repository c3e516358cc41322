import CDPDKShim
import FastPath
import InterCore
import Testing
import Wire

/// The director's own address on the servers' side: what workers take, and what they transmit.
extension WorkerTests {
    private static let address = IPAddress("10.0.0.2")!
    private static let mac = MACAddress(0x0200_0000_0002)

    private func datagram(to mac: MACAddress = WorkerTests.mac, port: UInt16 = 7_443) -> [UInt8] {
        UDPFrame.bytes(
            [1, 2, 3], from: Endpoint(IPAddress("10.0.0.9")!, port: 7_270), at: MACAddress(Lab.proxyMAC),
            to: Endpoint(Self.address, port: port), at: mac)
    }

    private func question(for address: String) -> [UInt8] {
        NeighborMessage(
            .question, subject: IPAddress(address)!, sender: IPAddress("10.0.0.9")!,
            senderMAC: MACAddress(Lab.proxyMAC)
        ).frame()
    }

    private func taken(_ own: OwnAddressLink) -> [[UInt8]] {
        var frames: [[UInt8]] = []
        while let frame = own.received.pop({ _, frame in Array(frame) }) { frames.append(frame) }
        return frames
    }

    @Test(arguments: [false, true]) func whatComesToItIsTheControlCores(watchesUDP: Bool) {
        let own = OwnAddressLink(Self.address, at: Self.mac, capacity: 4)
        let lab = Lab(own: own) { if watchesUDP { Lab.watching(&$0) } }
        let frames = [datagram(), question(for: "10.0.0.2")]
        for frame in frames { lab.put(frame, fromClient: false) }
        lab.turn()
        #expect(taken(own) == frames && lab.toClients.isEmpty)
        #expect(lab.counter(.ownReceived) == 2)
        // Others' frames pass, and a client's do whatever they are.
        lab.put(datagram(to: MACAddress(Lab.clientMAC)), fromClient: false)
        lab.put(question(for: "10.0.0.3"), fromClient: false)
        lab.put(datagram(), fromClient: true)
        lab.put(question(for: "10.0.0.2"), fromClient: true)
        lab.turn()
        #expect(taken(own).isEmpty && lab.toClients.count == 2 && lab.toServers.count == 2)
        // The same addresses in another VLAN are others.
        let other = NeighborMessage(
            .question, subject: Self.address, sender: IPAddress("10.0.0.9")!, senderMAC: MACAddress(Lab.proxyMAC)
        ).frame(vlan: VLAN(7))
        lab.put(other, fromClient: false)
        lab.turn()
        #expect(taken(own).isEmpty && lab.toClients.last == other)
        // A flood is lost, and counted.
        for _ in 0..<9 { lab.put(datagram(), fromClient: false) }
        lab.turn()
        #expect(taken(own).count == 4 && lab.counter(.droppedOwnFull) == 5)
        lab.finish()
    }

    @Test func withoutAnAddressAllPasses() {
        let lab = Lab()
        lab.put(datagram(), fromClient: false)
        lab.put(question(for: "10.0.0.2"), fromClient: false)
        lab.turn()
        #expect(lab.toClients.count == 2)
        lab.finish()
    }

    @Test func whatTheControlCoreSendsGoesToTheServers() {
        let own = OwnAddressLink(Self.address, at: Self.mac, capacity: 256)
        let lab = Lab(own: own)
        let frames = (0..<100).map { datagram(to: MACAddress(Lab.proxyMAC), port: $0) }
        for frame in frames { #expect(frame.withUnsafeBytes { own.waiting.push(OwnFrame(), payload: $0) }) }
        lab.tell(.transmitOwn)
        lab.turn()
        lab.tell(.transmitOwn)
        lab.turn()
        #expect(lab.toServers == frames && lab.counter(.generated) == 100)
        lab.finish()
    }
}
