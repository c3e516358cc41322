import Control
import Datagrams
import InterCore
import Wire

/// Where the control channel's datagrams come and go: a socket of the kernel, or the servers' ports.
struct ControlEndpoint: ~Copyable {
    /// One of the two.
    private var socket: DatagramSocket?
    private var ethernet: EthernetEndpoint?
    /// What becomes readable when something has come; workers ring the bell themselves.
    let descriptors: [Int32]
    /// Where it listens.
    let local: Endpoint?
    /// What the last `receive` took.
    private(set) var received: [(datagram: [UInt8], from: Endpoint)] = []
    private var lost: UInt64 = 0
    private var saidLost: UInt64 = 0
    private var nextWord: UInt64 = 0

    /// - Parameter mac: of the port whose address the director has on the servers' side.
    init(_ settings: DirectorConfiguration.CRTPSettings, mac: MACAddress) throws {
        switch settings.via {
        case .kernel:
            let socket = try DatagramSocket(bindTo: settings.listen)
            if let multicast = settings.multicast {
                try socket.sendGroups(by: multicast.interface, hops: multicast.hops)
            }
            descriptors = [socket.descriptor]
            local = socket.localEndpoint
            self.socket = consume socket
        case .serverPort:
            descriptors = []
            local = settings.listen
            ethernet = EthernetEndpoint(
                settings.listen, mac: mac, vlan: settings.vlan, groupHops: UInt8(settings.multicast?.hops ?? 1))
        }
    }

    /// Takes at most so many datagrams into `received`; returns whether there was anything, as a number.
    mutating func receive(from workers: [WorkerLink], atMost limit: Int, now: UInt64) -> Int {
        received.removeAll(keepingCapacity: true)
        socket?.receive(into: &received, atMost: limit)
        var count = received.count
        for own in workers.lazy.compactMap(\.own) {
            for _ in 0..<limit {
                let taken: Void? = own.received.pop { _, frame in
                    if let datagram = ethernet?.receive(frame, now: now) { received.append(datagram) }
                }
                guard taken != nil else { break }
                count += 1
            }
        }
        return count
    }

    mutating func send(_ datagram: [UInt8], to peer: Endpoint, now: UInt64) {
        socket?.send(datagram, to: peer)
        ethernet?.send(datagram, to: peer, now: now)
    }

    /// Sends what waits. How often the first worker is to be told to transmit; what it has no room for is lost, and CRTP
    /// heals that.
    mutating func flush(by workers: [WorkerLink]) -> Int {
        socket?.flush()
        guard let frames = ethernet?.takeFrames(), !frames.isEmpty, let own = workers.first?.own else { return 0 }
        var count = 0
        for frame in frames {
            if frame.withUnsafeBytes({ own.waiting.push(OwnFrame(), payload: $0) }) { count += 1 } else { lost += 1 }
        }
        return (count + OwnAddressLink.framesOfOneCommand - 1) / OwnAddressLink.framesOfOneCommand
    }

    /// Frames that were lost on their way to a worker, or could not be made, since it was said last: once a second.
    mutating func takeLost(now: UInt64) -> UInt64 {
        let all = lost + (ethernet?.unsendable ?? 0)
        guard all > saidLost, now >= nextWord else { return 0 }
        defer { saidLost = all }
        nextWord = now + 1_000_000
        return all - saidLost
    }
}

extension DatagramSocket {
    fileprivate mutating func receive(into datagrams: inout [(datagram: [UInt8], from: Endpoint)], atMost limit: Int) {
        while datagrams.count < limit {
            let taken = receive()
            for index in 0..<taken { datagrams.append(self[index]) }
            if taken < DatagramSocket.batch { break }
        }
    }
}
