internal import CRTP
import Glibc
internal import Wire

/// All that a successor gets from its predecessor in one piece: channels, transfers, and the descriptors for both.
struct Inheritance {
    var channels: ChannelSuccession
    /// Director → the endpoint at which its datagrams arrive.
    var homes: [Endpoint: Endpoint]
    var ledger: TransferLedger
    var rendezvous: CInt = -1
    var control: [DatagramSocket] = []
    var adopters: [AdopterPassedOn] = []
    /// Sockets whose request has not come, by the ledger's numbers.
    var waiting: [(number: UInt64, descriptor: CInt)] = []

    static func encode(_ channels: ChannelSuccession, _ homes: [Endpoint: Endpoint], _ ledger: TransferLedger)
        -> [UInt8]
    {
        var writer = SuccessionWriter()
        channels.write(to: &writer)
        writer.put(UInt32(homes.count))
        for (director, home) in homes {
            writer.put(director)
            writer.put(home)
        }
        ledger.write(to: &writer)
        return writer.bytes
    }

    /// Everything up to the end of it.
    init(from channel: DescriptorChannel, limits: TransferLedger.Limits) throws {
        var state: [UInt8] = []
        var passed: [(SuccessionMessage.PassedDescriptor, CInt)] = []
        while true {
            let (message, descriptor) = try channel.receiveMessage()
            switch (message, descriptor) {
            case (.state(let piece), _): state += piece
            case (.passing(let what), let descriptor?): passed.append((what, descriptor))
            case (.end, _):
                try self.init(state, limits)
                try take(passed)
                return
            default: throw DescriptorChannel.SuccessionFailure.unexpected(message)
            }
        }
    }

    private init(_ state: [UInt8], _ limits: TransferLedger.Limits) throws {
        var reader = SuccessionReader(state)
        channels = try ChannelSuccession(from: &reader)
        let pairs = try reader.list { reader throws(SuccessionReader.Unreadable) in
            (try reader.endpoint(), try reader.endpoint())
        }
        homes = Dictionary(pairs) { _, later in later }
        ledger = try TransferLedger(limits: limits, from: &reader)
    }

    private mutating func take(_ passed: [(SuccessionMessage.PassedDescriptor, CInt)]) throws {
        for (what, descriptor) in passed {
            switch what {
            case .rendezvous: rendezvous = descriptor
            case .control(let endpoint): control.append(DatagramSocket(inherited: descriptor, endpoint))
            case .adopter: adopters.append(AdopterPassedOn(channel: DescriptorChannel(descriptor: descriptor)))
            case .uncommitted(let number, let handle):
                guard !adopters.isEmpty else { throw DescriptorChannel.SuccessionFailure.unreadable }
                adopters[adopters.count - 1].handles[descriptor] = handle
                waiting.append((number, descriptor))
            }
        }
        guard rendezvous >= 0 else { throw DescriptorChannel.SuccessionFailure.unreadable }
    }
}
