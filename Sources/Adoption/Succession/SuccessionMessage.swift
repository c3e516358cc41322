package import CRTP
package import Wire

/// What an agent and the one that succeeds it say to each other, from the first word to the last connection.
///
/// ```
/// successor                              predecessor
/// hello (version)           ──────────►
///                           ◄──────────  greeting: what must be the same, what is open
///   … starts, but serves nothing …
/// freeze                    ──────────►  takes no more frames
///                           ◄──────────  state …, descriptors …, end
/// taken                     ──────────►  is no longer the agent
///                           ◄──────────  go
///   … is the agent …
///                           ◄──────────  connection, ended …, as its own connections come to a boundary or an end
/// ```
package enum SuccessionMessage: Equatable {
    case hello(version: UInt8)
    case greeting([UInt8])
    case freeze
    case state([UInt8])
    /// With one descriptor.
    case passing(PassedDescriptor)
    case end
    case taken
    case go
    case ended(number: UInt64, bytesSent: UInt64)
    /// With its descriptor: a connection between two requests.
    case connection(number: UInt64, transaction: UInt32, FlowKey, bytesSent: UInt64)

    package static let version: UInt8 = 1
    package static let longest = 32_768

    package enum PassedDescriptor: Equatable {
        /// Where successors knock.
        case rendezvous
        case control(Endpoint)
        /// The channel to an adopting process, which has the uncommitted sockets that follow it.
        case adopter
        case uncommitted(number: UInt64, handle: UInt32)
    }

    package var encoded: [UInt8] {
        var writer = SuccessionWriter()
        switch self {
        case .hello(let version): writer.put(1, version)
        case .greeting(let bytes): writer.put(2, bytes)
        case .freeze: writer.put(3 as UInt8)
        case .state(let bytes): writer.put(4, bytes)
        case .passing(.rendezvous): writer.put(5 as UInt8)
        case .passing(.control(let endpoint)):
            writer.put(6 as UInt8)
            writer.put(endpoint)
        case .passing(.adopter): writer.put(7 as UInt8)
        case .passing(.uncommitted(let number, let handle)):
            writer.put(8 as UInt8)
            writer.put(number)
            writer.put(handle)
        case .end: writer.put(9 as UInt8)
        case .taken: writer.put(10 as UInt8)
        case .go: writer.put(11 as UInt8)
        case .ended(let number, let bytesSent):
            writer.put(12 as UInt8)
            writer.put(number)
            writer.put(bytesSent)
        case .connection(let number, let transaction, let key, let bytesSent):
            writer.put(13 as UInt8)
            writer.put(number)
            writer.put(bytesSent)
            writer.put(.flowInformation(key, transfer: transaction))
        }
        return writer.bytes
    }

    package init(_ bytes: [UInt8]) throws(SuccessionReader.Unreadable) {
        var reader = SuccessionReader(bytes)
        switch try reader.number(UInt8.self) {
        case 1: self = .hello(version: try reader.number())
        case 2: self = .greeting(try reader.string())
        case 3: self = .freeze
        case 4: self = .state(try reader.string())
        case 5: self = .passing(.rendezvous)
        case 6: self = .passing(.control(try reader.endpoint()))
        case 7: self = .passing(.adopter)
        case 8: self = .passing(.uncommitted(number: try reader.number(), handle: try reader.number()))
        case 9: self = .end
        case 10: self = .taken
        case 11: self = .go
        case 12: self = .ended(number: try reader.number(), bytesSent: try reader.number())
        case 13:
            let (number, bytesSent) = (try reader.number(UInt64.self), try reader.number(UInt64.self))
            guard case .flowInformation(let key, let transaction, _) = try reader.message() else {
                throw SuccessionReader.Unreadable()
            }
            self = .connection(number: number, transaction: transaction, key, bytesSent: bytesSent)
        default: throw SuccessionReader.Unreadable()
        }
        guard reader.isAtEnd else { throw SuccessionReader.Unreadable() }
    }
}

extension SuccessionWriter {
    fileprivate mutating func put(_ kind: UInt8, _ version: UInt8) {
        put(kind)
        put(version)
    }

    fileprivate mutating func put(_ kind: UInt8, _ content: [UInt8]) {
        put(kind)
        put(content)
    }
}

extension DescriptorChannel {
    /// Why the other agent cannot be understood.
    enum SuccessionFailure: Error, CustomStringConvertible {
        case gone
        case unreadable
        case unexpected(SuccessionMessage)

        var description: String {
            switch self {
            case .gone: "the other process has closed the channel"
            case .unreadable: "the other process speaks another version of this protocol"
            case .unexpected: "the other process has said something else than it should"
            }
        }
    }

    func send(_ message: SuccessionMessage, passing descriptor: CInt? = nil) throws(SystemFailure) {
        try send(message.encoded, passing: descriptor)
    }

    func receiveMessage() throws -> (message: SuccessionMessage, passed: CInt?) {
        let (bytes, passed) = try receive(SuccessionMessage.longest, takesDescriptor: true)
        guard !bytes.isEmpty else { throw SuccessionFailure.gone }
        guard let message = try? SuccessionMessage(bytes) else { throw SuccessionFailure.unreadable }
        return (message, passed)
    }

    func expect(_ expected: SuccessionMessage) throws {
        let (message, _) = try receiveMessage()
        guard message == expected else { throw SuccessionFailure.unexpected(message) }
    }
}
