extension FlowKey {
    /// Reads what `description` writes: `10.0.0.1:51324 > 10.0.0.80:80`, `[2001:db8::1]:51324 > [2001:db8::80]:443 vlan 7`;
    /// blanks or a comma in the place of `>` are fine as well.
    public init?(_ text: some StringProtocol) {
        var words = text.split { $0 == " " || $0 == "," || $0 == ">" }
        var vlan = VLAN.untagged
        if words.count == 4, words[2] == "vlan" {
            guard let value = UInt16(words[3]), value < 4_096 else { return nil }
            vlan = VLAN(value)
            words.removeLast(2)
        }
        guard words.count == 2, let client = Endpoint(words[0]), let server = Endpoint(words[1]),
            client.address.isV4 == server.address.isV4
        else { return nil }
        self.init(
            client: client.address, clientPort: client.port, server: server.address, serverPort: server.port,
            vlan: vlan)
    }
}
