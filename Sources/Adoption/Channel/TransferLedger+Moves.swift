package import CRTP
package import Wire

// Connections that go to another proxy, and those that come from one.
extension TransferLedger {
    package func mayComeBack(_ number: UInt64) -> Bool { adoptions[number]?.mayComeBack ?? false }
    package func received(of number: UInt64) -> [UInt8] { adoptions[number]?.received ?? [] }
    package func comesOver(_ number: UInt64) -> Bool { adoptions[number]?.comesOver ?? false }

    /// The TRANSFER that hands a connection back, and to whom; its numbers are not this ledger's to know.
    /// - Parameter isWanted: its director has asked for it.
    package func offer(of number: UInt64, request: [UInt8], isWanted: Bool = false) -> (Endpoint, Transfer)? {
        guard let adoption = adoptions[number], adoption.phase == .committed, adoption.mayComeBack || isWanted else {
            return nil
        }
        var transfer = Transfer(connection: adoption.connection, request: request, application: .httpGet)
        transfer.isAcknowledged = true
        transfer.handsBack = adoption.key.transaction
        transfer.connectionID = adoption.connectionID
        transfer.generation = adoption.generation
        return (adoption.key.director, transfer)
    }

    /// Another proxy has it. No end is told: to the director it goes on.
    package mutating func movedAway(_ number: UInt64, now: UInt64) {
        guard let adoption = dropForGood(number, now: now) else { return }
        counters.movedAway += 1
        tellForwarders(.cancel, of: number, adoption, now: now)
    }

    /// FIRST_BYTE from the director. A second time it means that the answer was lost.
    mutating func handedOver(_ key: Key) {
        guard let number = numbers[key], let adoption = adoptions[number], adoption.comesOver else {
            return counters.unexpected += 1
        }
        switch adoption.phase {
        case .deciding: counters.unexpected += 1
        case .uncommitted: actions.append(.begin(number: number))
        case .committed: actions.append(.send(Frame(.firstByte, transaction: key.transaction), to: key.director))
        }
    }
}
