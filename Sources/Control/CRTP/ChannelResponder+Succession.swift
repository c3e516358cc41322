public import Wire

/// What another process needs to go on with an agent's channels as if it were the same one. There is no key in it: a
/// session's keys are derived anew from the pre-shared one.
public struct ChannelSuccession: Equatable, Sendable {
    package struct Channel: Equatable, Sendable {
        package var director: Endpoint
        package var keyID: UInt8
        package var senderID: UInt32
        package var initiate: Initiate
        package var accept: Accept
        /// The last number that was sent, and the highest that has come.
        package var sent: UInt64
        package var heard: UInt64
        package var silentAt: UInt64
    }

    public var epoch: UInt64
    package var channels: [Channel]
}

extension ChannelResponder {
    /// Of sessions in force. A handshake under way begins again. Nothing may be sent by this responder afterwards: a
    /// number that is used twice breaks the seal.
    public var succession: ChannelSuccession {
        ChannelSuccession(
            epoch: description.epoch,
            channels: entries.compactMap { entry in
                entry.current.map { current in
                    ChannelSuccession.Channel(
                        director: entry.endpoint, keyID: current.session.keyID, senderID: current.session.senderID,
                        initiate: current.initiate, accept: current.accept, sent: current.session.sent,
                        heard: current.session.heard, silentAt: entry.silentAt)
                }
            })
    }

    /// Goes on with them. A session whose key is gone, or that told its director what is no longer true of this agent,
    /// is left out: the director makes another one, and finds the epoch that it knows.
    public mutating func resume(_ succession: ChannelSuccession) {
        for channel in succession.channels where channel.accept.agent == description {
            guard
                let session = Session(
                    channel.accept, keys: keys, keyID: channel.keyID, senderID: channel.senderID,
                    sends: .fromResponder, sent: channel.sent, heard: channel.heard)
            else { continue }
            entries.append(
                Director(
                    endpoint: channel.director,
                    current: Negotiated(session: session, initiate: channel.initiate, accept: channel.accept),
                    silentAt: channel.silentAt))
        }
    }
}

extension ChannelSuccession {
    package func write(to writer: inout SuccessionWriter) {
        writer.put(epoch)
        writer.put(UInt32(channels.count))
        for channel in channels {
            writer.put(channel.director)
            writer.put(channel.keyID)
            writer.put(channel.senderID)
            writer.put(.initiate(channel.initiate))
            writer.put(channel.accept.session)
            writer.put(.accept(channel.accept))
            writer.put(channel.sent)
            writer.put(channel.heard)
            writer.put(channel.silentAt)
        }
    }

    package init(from reader: inout SuccessionReader) throws(SuccessionReader.Unreadable) {
        epoch = try reader.number()
        channels = try reader.list { reader throws(SuccessionReader.Unreadable) in
            let (director, keyID, senderID) = (
                try reader.endpoint(), try reader.number(UInt8.self), try reader.number(UInt32.self)
            )
            guard case .initiate(let initiate) = try reader.message(),
                case .accept(let accept) = try reader.message(session: try reader.number())
            else { throw SuccessionReader.Unreadable() }
            return Channel(
                director: director, keyID: keyID, senderID: senderID, initiate: initiate, accept: accept,
                sent: try reader.number(), heard: try reader.number(), silentAt: try reader.number())
        }
    }
}
