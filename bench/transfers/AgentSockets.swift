import Datagrams
import Wire

/// The agents' sockets, where datagrams go by sockets.
final class AgentSockets {
    private final class Box {
        let endpoint: Endpoint
        var socket: DatagramSocket
        init(_ endpoint: Endpoint) throws {
            self.endpoint = endpoint
            socket = try DatagramSocket(bindTo: endpoint)
        }
    }
    private let boxes: [Box]

    init(_ endpoints: [Endpoint]) throws { boxes = try endpoints.map(Box.init) }

    /// All that waits, with the endpoint that it was sent to.
    func receive(into datagrams: inout [(datagram: [UInt8], to: Endpoint)]) {
        for box in boxes {
            var count = DatagramSocket.batch
            while count == DatagramSocket.batch {
                count = box.socket.receive()
                for index in 0..<count { datagrams.append((box.socket[index].datagram, box.endpoint)) }
            }
        }
    }

    /// Sends each datagram from its endpoint, and forgets them.
    func send(_ datagrams: inout [(datagram: [UInt8], from: Endpoint)], to director: Endpoint) {
        for box in boxes {
            for (datagram, endpoint) in datagrams where endpoint == box.endpoint {
                box.socket.send(datagram, to: director)
            }
            box.socket.flush()
        }
        datagrams.removeAll(keepingCapacity: true)
    }
}
