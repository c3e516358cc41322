import CDPDKShim
import InterCore
import Wire

/// Virtual servers, and the director's ends of tunnels to proxies, are found as hosts are: by ARP and Neighbor Discovery,
/// the first at the client port's Ethernet address, the others at the server port's.
extension Worker {
    /// True, and it is on its way back as the answer, for a question that is asked on the right side.
    @inline(never)
    mutating func answerNeighbor(_ packet: Packet) -> Bool {
        let length = Int(shim_mbuf_length(packet.mbuf))
        guard let question = NeighborMessage(of: packet.bytes, length: length), question.kind == .question,
            isAnswered(question.subject, packet), !question.senderMAC.isGroup
        else { return false }
        let answer = NeighborMessage(
            .answer, subject: question.subject, sender: question.subject,
            senderMAC: packet.fromClient ? links.clientMAC : links.serverMAC)
        let vlan = packet.layout.vlan
        let receiver = (address: question.sender, mac: question.senderMAC)
        // Who asks whether the address is free gets a longer answer, for all to hear; the question goes on to the other
        // side, where somebody may have it as well.
        if question.sender == .unspecified {
            makeAnswer(answer, to: receiver, packet)
            return false
        }
        guard length >= answer.length(vlan: vlan) else { return false }
        answer.write(over: packet.bytes, to: receiver, vlan: vlan)
        counters.add(.neighborsAnswered)
        sendBack(packet.mbuf, packet)
        return true
    }

    /// The control core speaks for the director's own address, where it has one.
    private func isAnswered(_ address: IPAddress, _ packet: Packet) -> Bool {
        guard packet.fromClient else { return tunnels.begins(at: address) && links.own?.address != address }
        // Clients of a classifier's virtual servers ask the forwarders.
        return configuration.isClassifier
            ? arrivals.isOwn(address) || tunnels.begins(at: address) : virtuals.has(address)
    }

    private mutating func sendBack(_ answer: OpaquePointer, _ question: Packet) {
        if question.fromClient { sendToClients(answer) } else { sendToServers(answer) }
    }

    private mutating func makeAnswer(
        _ answer: NeighborMessage, to receiver: (address: IPAddress, mac: MACAddress), _ question: Packet
    ) {
        let vlan = question.layout.vlan
        guard let packet = shim_mbuf_make(links.pool, UInt16(truncatingIfNeeded: answer.length(vlan: vlan))) else {
            return
        }
        answer.write(over: UnsafeMutableRawPointer(shim_mbuf_data(packet)), to: receiver, vlan: vlan)
        counters.add(.neighborsAnswered)
        counters.add(.generated)
        sendBack(packet, question)
    }
}
