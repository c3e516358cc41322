import Glibc
public import Wire

/// Why a connection could not be adopted.
public enum AdoptionFailure: Error, Equatable, CustomStringConvertible {
    /// This host already has a socket with the same client and server address and ports.
    case tupleInUse
    /// No route to the client.
    case noRoute
    /// Descriptors or memory have run out.
    case resource(SystemFailure)
    /// Anything else: a missing privilege or a kernel without TCP_REPAIR.
    case system(SystemFailure)
    /// The adopting process does not do this, for the reason given.
    case refused(String)

    public var description: String {
        switch self {
        case .tupleInUse: "this host has a socket with these addresses and ports already"
        case .noRoute: "no route to the client"
        case .resource(let failure), .system(let failure): failure.description
        case .refused(let why): "the adopting process has refused it: \(why)"
        }
    }

    init(_ failure: SystemFailure) {
        switch failure.code {
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: self = .resource(failure)
        case ENETUNREACH, EHOSTUNREACH: self = .noRoute
        default: self = .system(failure)
        }
    }
}

/// Makes connections of other hosts this host's own, by TCP_REPAIR, and undoes it. Needs CAP_NET_ADMIN, and is,
/// with the guard, the only part of an agent that does: `AdoptingProcess` runs it, away from all that parses.
///
/// An adopted socket is *uncommitted* until the first byte of the request has arrived on it: it has sent nothing, its
/// mark keeps the kernel from sending SYN, FIN or RST for it whatever happens to this process (rule 7 of a transfer),
/// and `forget` undoes it without a trace. `commit` makes it an ordinary socket.
public struct Adopter: Sendable, Equatable {
    /// SO_MARK until the first byte: what the guard's output rule matches.
    public var uncommittedMark: UInt32
    /// SO_MARK afterwards.
    public var committedMark: UInt32
    /// MTU of the way to the clients: bounds the MSS.
    public var mtu: UInt16

    /// SO_MARK while the connection is offered to others: the guard lets nothing at all out.
    public var suspendedMark: UInt32

    public init(
        uncommittedMark: UInt32, committedMark: UInt32 = 0, suspendedMark: UInt32 = 0xBA70_0003, mtu: UInt16 = 1_500
    ) {
        self.uncommittedMark = uncommittedMark
        self.committedMark = committedMark
        self.suspendedMark = suspendedMark
        self.mtu = mtu
    }

    /// Restores the connection in this host's kernel, without a packet. The socket is non-blocking.
    public func adopt(_ state: ConnectionState) throws(AdoptionFailure) -> CInt {
        let descriptor = try makeSocket(state)
        do {
            try restore(state, on: descriptor, mark: uncommittedMark)
            try leaveRepair(descriptor)
            return descriptor
        } catch {
            forget(descriptor)
            throw error
        }
    }

    func makeSocket(_ state: ConnectionState) throws(AdoptionFailure) -> CInt {
        let family = state.key.server.isV4 ? AF_INET : AF_INET6
        let kind = CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(family, kind, 0)
        guard descriptor >= 0 else { throw AdoptionFailure(SystemFailure("socket")) }
        return descriptor
    }

    /// The request has begun to arrive: from here on the socket is like any other.
    public func commit(_ descriptor: CInt) throws(SystemFailure) {
        try setOption(descriptor, SOL_SOCKET, SocketOption.mark, CInt(bitPattern: committedMark), "SO_MARK")
    }

    /// Closes an uncommitted socket without a packet: a socket that is closed in repair mode tells nobody.
    public func forget(_ descriptor: CInt) {
        try? setOption(descriptor, SOL_TCP, SocketOption.repair, 1, "TCP_REPAIR")
        close(descriptor)
    }
}

extension Adopter {
    /// The order of the steps is the kernel's: see docs/decisions/0003-adoption-by-repair.md.
    func restore(_ state: ConnectionState, on descriptor: CInt, mark: UInt32) throws(AdoptionFailure) {
        do throws(SystemFailure) {
            try setOption(descriptor, SOL_SOCKET, SocketOption.mark, CInt(bitPattern: mark), "SO_MARK")
            if state.key.server.isV4 {
                try setOption(descriptor, CInt(IPPROTO_IP), SocketOption.ipTransparent, 1, "IP_TRANSPARENT")
            } else {
                try setOption(
                    descriptor, CInt(IPPROTO_IPV6), SocketOption.ipv6Transparent, 1, "IPV6_TRANSPARENT")
            }
            try setOption(descriptor, SOL_TCP, SocketOption.repair, 1, "TCP_REPAIR")
            try bindToServer(state, descriptor)
            // TCP_QUEUE_SEQ takes the next byte, so PSN and PAN are what it wants, not the initial numbers.
            try setQueueSequence(descriptor, queue: 1, state.psn)
            try setQueueSequence(descriptor, queue: 2, state.pan)
            // Before connect: afterwards nothing recomputes the segment size from the default of 536.
            let segment = CInt(segmentBytes(state))
            try setOption(descriptor, SOL_TCP, SocketOption.maximumSegment, segment, "TCP_MAXSEG")
        } catch {
            throw AdoptionFailure(error)
        }
        try connectToClient(state, descriptor)
        do throws(SystemFailure) {
            try setNegotiated(state, descriptor)
            try setWindow(state, descriptor)
        } catch {
            throw AdoptionFailure(error)
        }
    }

    func leaveRepair(_ descriptor: CInt) throws(AdoptionFailure) {
        do throws(SystemFailure) {
            // -1 leaves repair without the probe that 0 would send to the client.
            try setOption(descriptor, SOL_TCP, SocketOption.repair, -1, "TCP_REPAIR")
            // Leaving repair takes SO_REUSEADDR away; without it this socket would keep a listener from binding.
            try setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR")
        } catch {
            throw AdoptionFailure(error)
        }
    }

    private func bindToServer(_ state: ConnectionState, _ descriptor: CInt) throws(SystemFailure) {
        let server = Endpoint(state.key.server, port: state.key.serverPort)
        guard server.withSocketAddress({ bind(descriptor, $0, $1) }) == 0 else {
            throw SystemFailure("binding to \(server)")
        }
    }

    private func connectToClient(_ state: ConnectionState, _ descriptor: CInt) throws(AdoptionFailure) {
        let client = Endpoint(state.key.client, port: state.key.clientPort)
        guard client.withSocketAddress({ connect(descriptor, $0, $1) }) != 0 else { return }
        if errno == EADDRNOTAVAIL { throw .tupleInUse }
        throw AdoptionFailure(SystemFailure("connecting to \(client)"))
    }

    private func setQueueSequence(
        _ descriptor: CInt, queue: CInt, _ number: SequenceNumber
    ) throws(SystemFailure) {
        try setOption(descriptor, SOL_TCP, SocketOption.repairQueue, queue, "TCP_REPAIR_QUEUE")
        try setOption(descriptor, SOL_TCP, SocketOption.queueSequence, CInt(bitPattern: number.value), "TCP_QUEUE_SEQ")
    }

    /// The client's MSS, but no more than this host's way to it carries; within what the kernel accepts.
    package func segmentBytes(_ state: ConnectionState) -> UInt16 {
        let headers: UInt16 = state.key.server.isV4 ? 40 : 60
        return min(max(min(state.options.clientMSS, mtu - headers), 88), 32_767)
    }

    /// What the handshake agreed on. Window scaling is always stated, as 0 when it was not agreed on, since connect()
    /// has put this host's own default there.
    private func setNegotiated(_ state: ConnectionState, _ descriptor: CInt) throws(SystemFailure) {
        struct RepairOption {
            var code: UInt32
            var value: UInt32
        }
        let options = state.options
        let scale =
            options.windowScale
            ? UInt32(options.clientWindowScale) | UInt32(options.serverWindowScale) << 16 : 0
        var list = [RepairOption(code: 3, value: scale), RepairOption(code: 2, value: UInt32(segmentBytes(state)))]
        if options.sack { list.append(RepairOption(code: 4, value: 0)) }
        if options.timestamps { list.append(RepairOption(code: 8, value: 0)) }
        let bytes = socklen_t(list.count * MemoryLayout<RepairOption>.stride)
        guard setsockopt(descriptor, SOL_TCP, SocketOption.repairOptions, &list, bytes) == 0 else {
            throw SystemFailure("setting TCP_REPAIR_OPTIONS")
        }
        if options.timestamps {
            let value = CInt(bitPattern: nextTimestamp(state))
            try setOption(descriptor, SOL_TCP, SocketOption.timestamp, value, "TCP_TIMESTAMP")
        }
    }

    /// The server's clock now, never behind what the client has seen (PAWS), and even: an odd value would switch the
    /// socket to microseconds.
    package func nextTimestamp(_ state: ConnectionState) -> UInt32 {
        // Rounded up; adding first would wrap for the largest ages.
        let age = state.timestampAgeMicroseconds
        let elapsed = age / 1_000 &+ (age % 1_000 > 0 ? 1 : 0)
        return (state.serverTimestamp &+ elapsed &+ 1) & ~1
    }

    private func setWindow(_ state: ConnectionState, _ descriptor: CInt) throws(SystemFailure) {
        var window = RepairWindow(
            updateSequence: state.psn.value, sendWindow: state.clientWindow, largestSendWindow: state.clientWindow,
            receiveWindow: receiveWindow(state), receiveUpdate: state.psn.value)
        let bytes = socklen_t(MemoryLayout<RepairWindow>.size)
        guard setsockopt(descriptor, SOL_TCP, SocketOption.repairWindow, &window, bytes) == 0 else {
            throw SystemFailure("setting TCP_REPAIR_WINDOW")
        }
    }

    /// What the server has promised to the client; 65,535 when nobody saw it (rule 12).
    package func receiveWindow(_ state: ConnectionState) -> UInt32 {
        let promised = state.serverWindowEdge.distance(from: state.psn)
        return promised > 0 ? UInt32(promised) : 65_535
    }
}
