"""Publishing a result on the Hub: the card that is made from measurements, the proof, the transfer, and the one commit."""
