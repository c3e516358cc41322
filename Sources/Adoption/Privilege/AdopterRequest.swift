package import Wire

/// What the serving process asks of the adopting process: a closed set of messages of one size, in the host's byte
/// order since both ends are one program. Decoding refuses whatever encoding does not produce.
///
/// ```
///  0        1        2        4        8
/// +--------+--------+--------+--------+---------------------------------------+
/// |  kind  |version |    0   | handle | connection, for `adopt` and `open`, behind which
/// |        |        |        |        | is the room, at 76; otherwise 0
/// +--------+--------+--------+--------+---------------------------------------+
/// ```
package enum AdopterRequest: Equatable, Sendable {
    /// Make this connection a socket and pass it.
    case adopt(ConnectionState)
    /// The same in the middle of an answer: the socket is passed while bytes can be put into its queue as sent, so many
    /// at most; until `leaveRepair`.
    case open(ConnectionState, room: UInt32)
    /// Everything is in its queue; or, of a suspended socket, everything is known. It leaves repair, and stays mute.
    case leaveRepair(UInt32)
    /// The request has begun to arrive on the socket: make it an ordinary one, and keep no hold on it.
    case commit(UInt32)
    /// Undo the adoption without a packet.
    case forget(UInt32)
    /// With a committed socket: from now on it is mute, and what it has come to is told; until `forget` or `resume`.
    /// `isQuiet`: only where nothing is unread, and nothing unacknowledged.
    case suspend(isQuiet: Bool)
    case resume(UInt32)
    /// Undo every adoption, take the packet filter's rules away, and end.
    case finish

    package static let bytes = 80
    static let version: UInt8 = 1

    private enum Kind: UInt8 {
        case adopt = 1
        case commit, forget, finish, suspend, resume, open, leaveRepair
    }

    package var encoded: [UInt8] {
        var message = FixedMessage(bytes: AdopterRequest.bytes)
        message[0] = kind.rawValue
        message[1] = AdopterRequest.version
        switch self {
        case .adopt(let state): message.put(state)
        case .open(let state, let room):
            message.put(state)
            message.put(room, at: 76)
        case .commit(let handle), .forget(let handle), .resume(let handle), .leaveRepair(let handle):
            message.put(handle, at: 4)
        case .suspend(let isQuiet): message.put(isQuiet ? 1 : 0 as UInt32, at: 4)
        case .finish: break
        }
        return message.content
    }

    /// nil for anything that `encoded` does not give.
    package init?(_ content: [UInt8]) {
        guard content.count == AdopterRequest.bytes, let kind = Kind(rawValue: content[0]) else { return nil }
        let message = FixedMessage(content)
        let handle: UInt32 = message.get(at: 4)
        switch kind {
        case .adopt:
            guard let state = message.connection else { return nil }
            self = .adopt(state)
        case .open:
            guard let state = message.connection else { return nil }
            self = .open(state, room: message.get(at: 76))
        case .leaveRepair: self = .leaveRepair(handle)
        case .commit: self = .commit(handle)
        case .forget: self = .forget(handle)
        case .finish: self = .finish
        case .suspend: self = .suspend(isQuiet: handle == 1)
        case .resume: self = .resume(handle)
        }
        // Reserved bytes, other versions, booleans that are neither: whatever is left over shows here.
        guard encoded == content else { return nil }
    }

    private var kind: Kind {
        switch self {
        case .adopt: .adopt
        case .open: .open
        case .leaveRepair: .leaveRepair
        case .commit: .commit
        case .forget: .forget
        case .finish: .finish
        case .suspend: .suspend
        case .resume: .resume
        }
    }
}

extension FixedMessage {
    mutating func put(_ state: ConnectionState) {
        put(state.key.client.high, at: 8)
        put(state.key.client.low, at: 16)
        put(state.key.server.high, at: 24)
        put(state.key.server.low, at: 32)
        put(state.key.clientPort, at: 40)
        put(state.key.serverPort, at: 42)
        put(state.psn.value, at: 44)
        put(state.pan.value, at: 48)
        put(state.clientWindow, at: 52)
        put(state.serverWindowEdge.value, at: 56)
        put(state.serverTimestamp, at: 60)
        put(state.timestampAgeMicroseconds, at: 64)
        put(state.options.clientMSS, at: 68)
        self[70] = state.options.clientWindowScale
        self[71] = state.options.serverWindowScale
        self[72] =
            (state.options.windowScale ? 1 : 0) | (state.options.sack ? 2 : 0) | (state.options.timestamps ? 4 : 0)
    }

    /// What an adoption uses of a state; the rest stays behind.
    var connection: ConnectionState? {
        let key = FlowKey(
            client: IPAddress(high: get(at: 8), low: get(at: 16)), clientPort: get(at: 40),
            server: IPAddress(high: get(at: 24), low: get(at: 32)), serverPort: get(at: 42))
        let options = NegotiatedOptions(
            clientMSS: get(at: 68), serverMSS: 0, clientWindowScale: self[70], serverWindowScale: self[71],
            windowScale: self[72] & 1 != 0, sack: self[72] & 2 != 0, timestamps: self[72] & 4 != 0)
        // RFC 7323, section 2.3: a shift of more than 14 does not exist.
        guard key.client.isV4 == key.server.isV4, key.clientPort > 0, options.clientWindowScale <= 14,
            options.serverWindowScale <= 14, options.clientMSS >= 88
        else { return nil }
        return ConnectionState(
            key: key, psn: SequenceNumber(get(at: 44)), pan: SequenceNumber(get(at: 48)), clientWindow: get(at: 52),
            serverWindowEdge: SequenceNumber(get(at: 56)), options: options, serverTimestamp: get(at: 60),
            timestampAgeMicroseconds: get(at: 64))
    }
}
