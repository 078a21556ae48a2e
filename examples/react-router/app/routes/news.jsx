export const loader = ({ params }) => ({ id: params.id });

export default function News({ loaderData }) {
  return <p>{`news ${loaderData.id}`}</p>;
}
