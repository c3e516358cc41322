import Wire

/// Translation as one would explain it: fields of a value, numbers as distances from a known byte, no checksum at all.
struct ReferenceTranslation {
    var client: Translation.View
    var server: Translation.View

    func toClient(_ segment: SegmentValue) -> SegmentValue {
        var result = segment
        result.sequence = move(segment.sequence, from: server.serverSequence.value, to: client.serverSequence.value)
        result.window = window(
            segment, shift(server.options, \.serverWindowScale), shift(client.options, \.serverWindowScale))
        result.options = segment.options.flatMap { option -> [OptionValue] in
            switch option {
            case .timestamps(let value, let echo):
                if !client.options.timestamps, server.options.timestamps { return blank(option) }
                return [.timestamps(move(value, from: server.serverTimestamp, to: client.serverTimestamp), echo)]
            case .sack where !client.options.sack && server.options.sack: return blank(option)
            default: return [option]
            }
        }
        return result
    }

    func toServer(_ segment: SegmentValue) -> SegmentValue {
        var result = segment
        let isAnswer = segment.flags & 16 != 0
        func answered(_ number: UInt32) -> UInt32 {
            move(number, from: client.serverSequence.value, to: server.serverSequence.value)
        }
        if isAnswer { result.acknowledgement = answered(segment.acknowledgement) }
        result.window = window(
            segment, shift(client.options, \.clientWindowScale), shift(server.options, \.clientWindowScale))
        result.options = segment.options.flatMap { option -> [OptionValue] in
            switch option {
            case .timestamps(let value, let echo):
                if client.options.timestamps, !server.options.timestamps { return blank(option) }
                guard isAnswer else { return [option] }
                return [.timestamps(value, move(echo, from: client.serverTimestamp, to: server.serverTimestamp))]
            case .sack(let edges):
                if client.options.sack, !server.options.sack { return blank(option) }
                return [.sack(edges.map(answered))]
            default: return [option]
            }
        }
        return result
    }

    private func move(_ number: UInt32, from: UInt32, to: UInt32) -> UInt32 {
        let distance = (Int64(number) - Int64(from) + 1 << 32) % (1 << 32)
        return UInt32((Int64(to) + distance) % (1 << 32))
    }

    private func shift(_ options: NegotiatedOptions, _ scale: KeyPath<NegotiatedOptions, UInt8>) -> Int {
        options.windowScale ? Int(options[keyPath: scale]) : 0
    }

    private func window(_ segment: SegmentValue, _ sent: Int, _ read: Int) -> UInt16 {
        if segment.flags & 2 != 0 || segment.window == 0 || sent == read { return segment.window }
        let bytes = Int(segment.window) * (1 << sent)
        return UInt16(min(max(bytes / (1 << read), 1), 65_535))
    }

    private func blank(_ option: OptionValue) -> [OptionValue] {
        [OptionValue](repeating: .noOperation, count: option.bytes.count)
    }
}
