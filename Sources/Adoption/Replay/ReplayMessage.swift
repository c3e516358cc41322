import Glibc
package import Wire

/// What an agent and the replayer of its host (a `batond` that stands on it) tell each other, over a UNIX socket that
/// keeps messages apart. All have one size, in the host's byte order. Decoding refuses whatever encoding does not produce.
///
/// ```
///  0        1        2        8                  72           80         84       85    88       96
/// +--------+--------+--------+------------------+------------+----------+--------+-----+--------+
/// |  kind  |version |   0    | connection, for  |     0      | client's |  time  |  0  | number |
/// |        |        |        | `replay`         |            |timestamp | to live|     |        |
/// +--------+--------+--------+------------------+------------+----------+--------+-----+--------+
/// ```
package enum ReplayMessage: Equatable, Sendable {
    // the agent's

    /// First of all: which agent this is. A successor of the same agent says the same; another one starts from nothing.
    case hello(epoch: UInt64)
    /// Find this connection a server; the number names it from now on.
    case replay(number: UInt64, ConnectionState)
    /// Undo it, unless its request has come.
    case cancel(number: UInt64)

    // the replayer's

    /// The server has the connection, and waits for its request.
    case ready(number: UInt64)
    /// There is none for it.
    case refused(number: UInt64)
    /// The request has begun to come: it is the server's for good.
    case begun(number: UInt64)
    /// Both sides have ended it, or one has reset it, or it was forgotten.
    case ended(number: UInt64)

    package static let bytes = 96
    private static let version: UInt8 = 1

    private enum Kind: UInt8 {
        case hello = 1
        case replay, cancel, ready, refused, begun, ended
    }

    private var parts: (kind: Kind, number: UInt64) {
        switch self {
        case .hello(let epoch): (.hello, epoch)
        case .replay(let number, _): (.replay, number)
        case .cancel(let number): (.cancel, number)
        case .ready(let number): (.ready, number)
        case .refused(let number): (.refused, number)
        case .begun(let number): (.begun, number)
        case .ended(let number): (.ended, number)
        }
    }

    package var encoded: [UInt8] {
        var message = FixedMessage(bytes: ReplayMessage.bytes)
        message[0] = parts.kind.rawValue
        message[1] = ReplayMessage.version
        message.put(parts.number, at: 88)
        if case .replay(_, let connection) = self {
            message.put(connection)
            message.put(connection.clientTimestamp, at: 80)
            message[84] = connection.timeToLive
        }
        return message.content
    }

    /// nil for anything that `encoded` does not give.
    package init?(_ content: [UInt8]) {
        guard content.count == ReplayMessage.bytes, let kind = Kind(rawValue: content[0]) else { return nil }
        let message = FixedMessage(content)
        let number: UInt64 = message.get(at: 88)
        switch kind {
        case .hello: self = .hello(epoch: number)
        case .replay:
            guard var connection = message.connection else { return nil }
            connection.clientTimestamp = message.get(at: 80)
            connection.timeToLive = message[84]
            self = .replay(number: number, connection)
        case .cancel: self = .cancel(number: number)
        case .ready: self = .ready(number: number)
        case .refused: self = .refused(number: number)
        case .begun: self = .begun(number: number)
        case .ended: self = .ended(number: number)
        }
        guard encoded == content else { return nil }
    }
}
