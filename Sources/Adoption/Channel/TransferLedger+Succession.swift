package import CRTP
internal import Wire

// A ledger that another process goes on with.
extension TransferLedger {
    package func write(to writer: inout SuccessionWriter) {
        writer.put(nextNumber)
        writer.put(nextTransaction)
        writer.put(lastEnd ?? 0)
        writer.put(UInt32(directors.count))
        for director in directors { writer.put(director) }
        writer.put(UInt32(adoptions.count))
        for (number, adoption) in adoptions {
            writer.put(number)
            writer.put(adoption, isCurrent: numbers[adoption.key] == number)
        }
        writer.put(UInt32(answerOrder.count))
        for key in answerOrder { writer.put(key, answers[key]) }
        writer.put(UInt32(endings.count))
        for (transaction, ending) in endings {
            writer.put(transaction)
            writer.put(ending.director)
            writer.put(ending.frame.message)
            writer.put(UInt8(clamping: ending.tries))
            writer.put(ending.next)
        }
    }

    package init(limits: Limits, from reader: inout SuccessionReader) throws(SuccessionReader.Unreadable) {
        self.init(limits: limits)
        nextNumber = try reader.number()
        nextTransaction = try reader.number()
        let end: UInt64 = try reader.number()
        lastEnd = end == 0 ? nil : end
        directors = Set(try reader.list { reader throws(SuccessionReader.Unreadable) in try reader.endpoint() })
        let adopted = try reader.list { reader throws(SuccessionReader.Unreadable) in
            (try reader.number(UInt64.self), try reader.adoption())
        }
        for (number, (adoption, isCurrent)) in adopted {
            adoptions[number] = adoption
            promises.make(adoption.requirements)
            if isCurrent { numbers[adoption.key] = number }
            if adoption.phase != .committed { uncommitted += 1 }
        }
        let remembered = try reader.list { reader throws(SuccessionReader.Unreadable) in try reader.answer() }
        for case (let key, let answer?) in remembered {
            answers[key] = answer
            answerOrder.append(key)
        }
        let owed = try reader.list { reader throws(SuccessionReader.Unreadable) in
            let transaction: UInt32 = try reader.number()
            let director = try reader.endpoint()
            let frame = Frame(try reader.message(), transaction: transaction)
            return Ending(
                director: director, frame: frame, tries: Int(try reader.number(UInt8.self)), next: try reader.number())
        }
        for ending in owed { endings[ending.frame.transaction] = ending }
    }

    /// Those whose sockets are elsewhere until they come over or end.
    package var committedNumbers: Set<UInt64> { Set(adoptions.filter { $0.value.phase == .committed }.keys) }
}

extension SuccessionWriter {
    fileprivate mutating func put(_ key: TransferLedger.Key) {
        put(key.director)
        put(key.transaction)
    }

    fileprivate mutating func put(_ adoption: TransferLedger.Adoption, isCurrent: Bool) {
        put(adoption.key)
        put(isCurrent)
        // Whoever is still deciding has been answered before the state is written.
        if case .uncommitted(let expires) = adoption.phase { put(expires) } else { put(0 as UInt64) }
        put(adoption.attempt)
        var transfer = Transfer(
            connection: adoption.connection, request: [], isHeld: adoption.isToBeAdopted,
            wantsFirstByte: adoption.wantsFirstByte)
        transfer.requirements = adoption.requirements
        transfer.mayComeBack = adoption.mayComeBack
        transfer.connectionID = adoption.connectionID
        transfer.generation = adoption.generation
        transfer.request = adoption.phase == .committed ? [] : adoption.received
        transfer.isAcknowledged = !transfer.request.isEmpty
        put(.transfer(transfer))
    }

    fileprivate mutating func put(_ key: TransferLedger.Key, _ answer: TransferLedger.Remembered?) {
        put(key)
        put(answer != nil)
        guard let answer else { return }
        put(answer.flow != nil)
        if let flow = answer.flow { put(.flowInformation(flow, transfer: 0)) }
        put(answer.psn.value)
        put(answer.message)
        put(answer.expires)
    }
}

extension SuccessionReader {
    fileprivate mutating func key() throws(Unreadable) -> TransferLedger.Key {
        TransferLedger.Key(director: try endpoint(), transaction: try number())
    }

    fileprivate mutating func adoption() throws(Unreadable) -> (TransferLedger.Adoption, isCurrent: Bool) {
        let (key, isCurrent) = (try key(), try flag())
        let (expires, attempt) = (try number(UInt64.self), try number(UInt8.self))
        guard case .transfer(let transfer) = try message() else { throw Unreadable() }
        var adoption = TransferLedger.Adoption(
            key: key, connection: transfer.connection,
            phase: expires == 0 ? .committed : .uncommitted(expires: expires),
            wantsFirstByte: transfer.wantsFirstByte, attempt: attempt, isToBeAdopted: transfer.isHeld,
            requirements: transfer.requirements)
        adoption.mayComeBack = transfer.mayComeBack
        adoption.connectionID = transfer.connectionID
        adoption.generation = transfer.generation
        adoption.received = transfer.request
        adoption.comesOver = !transfer.request.isEmpty
        return (adoption, isCurrent)
    }

    fileprivate mutating func answer() throws(Unreadable) -> (TransferLedger.Key, TransferLedger.Remembered?) {
        let key = try key()
        guard try flag() else { return (key, nil) }
        var flow: FlowKey?
        if try flag() {
            guard case .flowInformation(let named, _, _) = try message() else { throw Unreadable() }
            flow = named
        }
        let psn = SequenceNumber(try number())
        return (key, TransferLedger.Remembered(flow: flow, psn: psn, message: try message(), expires: try number()))
    }
}
